-- Eight partitions for an installation that begins: envelopes are twice as full, and the broker has half as many queues
-- and messages. Eight processes can still share the work of one consumer. Who has begun keeps what was chosen.
alter table installation alter column partitions set default 8;
update installation set partitions = 8
    where partitions = 16 and not exists (select from positions) and not exists (select from log_heads where position > 0);
