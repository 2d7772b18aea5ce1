-- The log of transformations: one stream for each, one a task, one a batch of inputs.
select create_log('log_transformations', false);

-- The inputs of transformations. The key decides that an input is attached once for each target, in the transaction that
-- appends `inputs.attached`; `task` is set once, in the transaction that appends `task.created`. All of it follows from
-- the log: `spinor transformation audit` holds the one to the other.
create table transformation_inputs (
    transformation uuid not null,
    file           uuid not null,
    target         text not null default '',
    lfn            text not null,
    task           int,                        -- null: nobody has claimed it
    primary key (transformation, file, target)
);
create index transformation_inputs_free on transformation_inputs (transformation, file, target) where task is null;
