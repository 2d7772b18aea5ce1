-- A database may come back in an earlier state: restored from a backup, failed over to a replica that was behind.
-- Until somebody has compared it with what is known outside of it (infra.epoch), nothing is written to the log.

create function server_fingerprint() returns text language sql stable as $$
    -- another one after every start of the server and in every copy of the database
    select extract(epoch from pg_postmaster_start_time())::text || '/' || oid from pg_database
        where datname = current_database()
$$;

-- The fingerprint of the server when the comparison was made; null: nobody compares, there is no relay yet.
alter table installation add column verified text;

create function refuse_unverified() returns trigger language plpgsql as $$
begin
    if (select verified <> server_fingerprint() from installation) then
        raise exception 'the database was not compared with its witness since it was started'
            using errcode = 'cannot_connect_now';
    end if;
    return null;
end $$;

create function guard(name text, what text) returns void language plpgsql as $$
begin
    execute format('create trigger only_verified before %s on %I for each statement execute function refuse_unverified()',
        what, name);
end $$;

alter function create_log(text, boolean) rename to create_log_table;
create function create_log(name text, ranged boolean) returns void language plpgsql as $$
begin
    perform create_log_table(name, ranged);
    perform guard(name, 'insert');
end $$;

select guard(log, 'insert') from log_heads;
select guard('log_heads', 'update');
select guard('positions', 'update');
select guard('job_numbers', 'update');

-- What an earlier state does not hold any more, by the epoch that began with the discovery.
create table lost (
    epoch    bigint not null,
    what     text not null,                   -- events, jobs: ranges; attempt, pilot: what pilots asked about
    name     text not null,                   -- the log, the attempt as job/attempt, the pilot as vo/stamp
    first    bigint,                          -- both ends are included
    last     bigint,
    since    timestamptz,                     -- nothing older than this was lost
    until    timestamptz,                     -- when the lost state was seen last
    vo       text,
    pilot    text,
    received int not null default 1,
    found_at timestamptz not null default now(),
    primary key (epoch, what, name)
);
