-- Logins under way, and wrong guesses. Neither is a fact: strangers can make both, and both are soon forgotten.

create table flows (
    id          uuid primary key,
    kind        text not null,
    status      text not null,
    user_code   text unique,
    secret_hash text unique,                 -- sha256 of the device code or of the authorization code
    data        text not null,               -- the flow as JSON, encrypted: it names a person once that is known
    expires     timestamptz not null
);
create index flows_by_expiry on flows (expires);

create unlogged table guesses (
    kind   text not null,
    source text not null,
    minute timestamptz not null,
    wrong  int not null,
    primary key (kind, source, minute)
);
