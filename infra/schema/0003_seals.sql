-- Seals: a hash chain over the final events of each VO in each log, and signatures that bind the chain to this
-- installation's key. Both are append-only like the log; what they are good for: see infra/seal.py.

create table seals (
    log    text        not null,
    vo     text        not null,
    first  bigint      not null,              -- positions of the first and last event under this seal
    last   bigint      not null,
    events int         not null,
    digest bytea       not null,              -- sha256 of the VO's digest before, and of the rows
    at     timestamptz not null default now(),
    primary key (log, last)
);
create index seals_by_vo on seals (log, vo, last);

create table anchors (
    log       text        not null,
    vo        text        not null,
    last      bigint      not null,           -- the seal that is signed
    key       text        not null,           -- Ed25519 public key, hexadecimal
    signature bytea       not null,
    at        timestamptz not null default now(),
    primary key (log, last, key)
);

create trigger no_change before update or delete on seals for each row execute function refuse_change();
create trigger no_change before update or delete on anchors for each row execute function refuse_change();
select protect_from_truncate('seals');
select protect_from_truncate('anchors');
