-- What everybody has had of late, as the matcher last knew it; so that it need not read days of ended jobs to begin.
create table share_use (
    one boolean primary key default true check (one),
    at double precision not null,
    half_life double precision not null,
    used text not null -- JSON: VO, group, owner, core-seconds that had faded by then
);
