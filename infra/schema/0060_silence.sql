-- When signs of life could be taken: silence outside of these times says nothing of a job or a pilot.
create table reachability (
    since timestamptz primary key,
    until timestamptz not null
);

-- How often commands of a kind were refused, by day: a refusal is an answer, and nothing else of it is kept.
create table refusals (
    day   date   not null,
    vo    text   not null,
    topic text   not null,
    code  text   not null,
    count bigint not null,
    primary key (day, vo, topic, code)
);
