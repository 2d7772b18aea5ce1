-- What envelopes are marked with, so that a consumer moves by those only that somebody made who reads this database.
alter table installation add column envelope_key bytea not null
    default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

-- A cut: up to which position each log was final at a moment. Written about once a second while something is written.
create table cuts (
    at        timestamptz primary key,
    positions jsonb not null,                 -- by log
    lasting   boolean not null                -- the first of its minute, which stays when the others are purged
);
create index cuts_passing on cuts (at) where not lasting;

-- What is remembered for a while only is found by its age (infra/purging.py).
create index commands_by_age on commands using brin (at) with (pages_per_range = 32, autosummarize = on);
create index submissions_by_age on submissions using brin (at) with (pages_per_range = 32, autosummarize = on);
create index dead_letters_by_age on dead_letters (sent_again_at) where sent_again_at is not null;
