-- How often each pilot proved itself, and what it was refused: counts, for they may come without end. Code '' is a proof.
create table pilot_proofs (
    vo       text not null,
    stamp    text not null,
    code     text not null,
    count    bigint not null,
    first_at timestamptz not null,
    last_at  timestamptz not null,
    primary key (vo, stamp, code)
) with (fillfactor = 80);
