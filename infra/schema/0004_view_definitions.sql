-- How the table of each view is defined: a release that defines it otherwise fills it anew from the log.
create table view_definitions (
    view       text primary key,
    definition text not null,
    at         timestamptz not null default now()
);
