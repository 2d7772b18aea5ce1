-- The log of files and directories. One stream per file; its id begins with its directory's, so that what is
-- registered together lies together in the index of the log, too.
select create_log('log_files', false);
