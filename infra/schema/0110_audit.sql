-- Who got in, who did not, what was given out and taken back: asked for by VO, newest first.

do $$ begin
    if to_regclass('log_identity') is null then
        perform create_log('log_identity', false);
    end if;
end $$;
create index log_identity_by_vo on log_identity (vo, position);
create index log_identity_by_person on log_identity
    (vo, (coalesce(nullif(data::json->>'subject', ''), data::json->>'name', split_part(actor, ':', 2))), position);
