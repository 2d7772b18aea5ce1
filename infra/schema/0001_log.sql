-- The log: one table shape for every bounded context, append-only by trigger, and what surrounds it.

create table installation (
    one        boolean primary key default true check (one),
    id         uuid not null default gen_random_uuid(),
    -- The moment (ms since 1970) from which positions count: another one after the database was rewound or made anew.
    epoch      bigint not null default (extract(epoch from clock_timestamp()) * 1000)::bigint,
    partitions int not null default 16,
    created_at timestamptz not null default now()
);
insert into installation default values;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the log is append-only: % on % is refused', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;

-- Row triggers of a partitioned table are cloned to its partitions, TRUNCATE triggers are not: each table gets its own.
create function protect_from_truncate(name text) returns void language plpgsql as $$
begin
    execute format('create trigger no_truncate before truncate on %I for each statement execute function refuse_change()', name);
end $$;

-- `tx` stands before `position`: defaults are taken in column order, so the transaction id exists before the position is
-- drawn, which the ordered reader relies on (tested with eight writers, rollbacks and held transactions).
create function create_log(name text, ranged boolean) returns void language plpgsql as $$
begin
    execute format('create sequence %I cache 1', name || '_position');
    execute format($sql$
        create table %I (
            tx             xid8        not null default pg_current_xact_id(),
            position       bigint      not null default nextval(%L),
            stream_id      uuid        not null,
            version        int         not null,
            topic          text        not null,
            schema_version smallint    not null,
            data           text        not null,
            event_id       uuid        not null,
            cause_id       uuid,
            correlation_id uuid,
            actor          text        not null,
            vo             text        not null,
            token          text,
            recorded_at    timestamptz not null,
            primary key (stream_id, version)
        ) %s $sql$, name, name || '_position', case when ranged then 'partition by range (stream_id)' else '' end);
    execute format('create index %I on %I (position)', name || '_by_position', name);
    execute format('create trigger no_change before update or delete on %I for each row execute function refuse_change()', name);
    perform protect_from_truncate(name);
    insert into log_heads (log) values (name) on conflict do nothing;
end $$;

-- A range of 2^20 job numbers is one partition; built aside and attached, so that writers never wait for it.
create function create_job_range(part bigint) returns void language plpgsql as $$
declare
    child text := 'log_jobs_' || part;
    low   text := lpad(to_hex(part << 20), 12, '0');
    high  text := lpad(to_hex((part + 1) << 20), 12, '0');
begin
    perform pg_advisory_xact_lock(hashtext('create_job_range'));
    if to_regclass(child) is not null then return; end if;
    execute format('create table %I (like log_jobs including defaults including constraints)', child);
    perform protect_from_truncate(child);
    execute format('alter table log_jobs attach partition %I for values from (%L) to (%L)', child,
        low || '00000000000000000000', high || '00000000000000000000');
end $$;

create table log_heads (
    log        text primary key,
    position   bigint not null default 0,     -- every event up to here is final: nothing can appear below it any more
    updated_at timestamptz not null default now()
) with (fillfactor = 50);

create table positions (
    consumer   text not null,
    log        text not null,
    partition  int not null,
    position   bigint not null default 0,
    duplicates bigint not null default 0,     -- envelopes that came again and had no effect
    gaps       bigint not null default 0,     -- times the log had to be read because an envelope was missing
    updated_at timestamptz not null default now(),
    primary key (consumer, log, partition)
) with (fillfactor = 50);

create table commands (
    id         uuid primary key,
    received   int not null default 1,
    ok         boolean not null,
    code       text,
    parameters text,
    stream_id  uuid,
    version    int,
    at         timestamptz not null default now()
);

create table timers (
    stream_id      uuid not null,
    name           text not null,
    due            timestamptz not null,
    topic          text not null,
    data           text not null,
    vo             text not null,
    cause_id       uuid,
    correlation_id uuid,
    silence        interval,                  -- when set: anything heard of the stream puts the timer off by this much
    primary key (stream_id, name)
);
create index timers_by_due on timers (due);

create table liveness (
    stream_id uuid primary key,
    seen      timestamptz not null,
    report    text
) with (fillfactor = 50);

create table dead_letters (
    id       uuid primary key,
    source   text not null,
    topic    text not null,
    vo       text not null,
    actor    text not null,
    body     text not null,
    reason   text not null,
    detail   text not null,
    attempts int not null,
    first_at timestamptz not null,
    at       timestamptz not null,
    sent_again_at timestamptz
);

create table parked (
    consumer  text not null,
    log       text not null,
    stream_id uuid not null,
    position  bigint not null,               -- the event that could not be handled; later ones of its stream wait behind it
    reason    text not null,
    at        timestamptz not null default now(),
    primary key (consumer, log, stream_id)
);

create table bodies (digest text primary key, body text not null);
create table subject_keys (subject text primary key, key bytea not null);

-- One row a submission: the numbers it got, so that the same request again gets the same jobs.
create table submissions (
    id        uuid primary key,
    vo        text not null,
    digest    text not null,
    first_job bigint not null,
    jobs      int not null,
    received  int not null default 1,
    at        timestamptz not null default now()
);
create table job_numbers (one boolean primary key default true check (one), last bigint not null);
insert into job_numbers (last) values (0);

create table offers (
    vo       text not null,
    pilot    text not null,
    offer    text not null,                   -- what the pilot offered last, as JSON
    decision text,                            -- what came of it, as JSON
    at       timestamptz not null,
    primary key (vo, pilot)
) with (fillfactor = 50);

select create_log('log_jobs', true);
select create_job_range(part) from generate_series(0, 2) part;
select create_log('log_pilots', false);
