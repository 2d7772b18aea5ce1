"""What can go wrong, as a closed set: each code says what happened, who must act, and what to do next.

Refused            a rule said no: the asker is told, nothing is retried
Conflict           somebody else was faster: reload and decide again (infra only)
anything else      broken: retried with growing delay, then a dead letter with its reason
"""

from enum import Enum
from typing import Any, NamedTuple


class Who(Enum):
    """Who must act."""

    USER = "user"
    SITE = "site"
    OPERATOR = "operator"
    NOBODY = "nobody"


class Advice(NamedTuple):
    """The sentences of one code; parameters are filled in, never glued into the code."""

    what: str
    who: Who
    next: str


class Code(Enum):
    """Every refusal and failure Spinor knows, by the name that is stored, sent and documented."""

    # jobs
    JOB_UNKNOWN = Advice("there is no job {job}", Who.USER, "spinor job list")
    JOB_EXISTS = Advice("job {job} exists already", Who.USER, "spinor job show {job}")
    JOB_STATE = Advice("job {job} is {status}: {verb} is not possible from there", Who.USER, "spinor history job {job}")
    JOB_ATTEMPT = Advice("attempt {attempt} of job {job} is over, attempt {current} is the current one", Who.NOBODY,
                         "spinor history job {job}")  # fmt: skip
    JOB_NOT_YOURS = Advice("job {job} belongs to somebody else", Who.USER, "spinor job list")
    NOT_RUNNING = Advice("job {job} is {status}: no program writes anything", Who.USER, "spinor job logs {job}")
    BULK_GONE = Advice("the action {action} is no plan any more, and nothing that was done", Who.USER,
                       "spinor bulk list")  # fmt: skip
    NOT_UNDONE = Advice("what {verb} did cannot be taken back", Who.USER, "spinor bulk list")
    RESCHEDULED_TOO_OFTEN = Advice("job {job} was rescheduled {count} times already", Who.USER,
                                   "spinor job show {job}")  # fmt: skip
    # pilots
    PILOT_UNKNOWN = Advice("there is no pilot {pilot}", Who.SITE, "spinor pilot list")
    PILOT_GONE = Advice("pilot {pilot} is {status}", Who.SITE, "spinor pilot show {pilot}")
    PILOT_SECRET = Advice("the pilot's secret is not accepted", Who.SITE, "spinor pilot show {pilot}")
    PILOT_SECRET_OLD = Advice("the secret of pilot {pilot} was good for {days} days", Who.SITE, "announce a new pilot")
    PILOT_JOB = Advice("job {job} is not a job of pilot {pilot}", Who.SITE, "spinor pilot show {pilot}")
    # resources
    RESOURCE = Advice("the status of {kind} {name} stays as it is: {problem}", Who.USER,
                      "spinor resource show {kind}:{name}")  # fmt: skip
    # input
    JDL_SYNTAX = Advice("line {line}, column {column}: {problem}", Who.USER, "spinor job plan FILE")
    DESCRIPTION = Advice("{field}: {problem}", Who.USER, "spinor job plan FILE")
    DESCRIPTIONS = Advice("nothing was submitted: {count} to correct in {files}", Who.USER,
                          "correct them, then spinor job plan {files}")  # fmt: skip
    TOO_MANY = Advice("{count} {things}, at most {limit} at once", Who.USER, "send smaller parts")
    TOO_MANY_HELD = Advice("{limit} requests of yours are held already", Who.USER, "end one of them, then try again")
    TOO_LARGE = Advice("{size} bytes, at most {limit} are accepted", Who.USER, "send smaller parts")
    MALFORMED = Advice("the message cannot be read: {problem}", Who.USER, "see the interface documents at /api/docs")
    TOPIC_UNKNOWN = Advice("there is no topic {topic}", Who.USER, "see the list of topics at /asyncapi")
    VERSION_UNKNOWN = Advice("version {version} of {topic} is not known here", Who.OPERATOR, "spinor doctor")
    KEY_REUSED = Advice("the key {key} came before with another content", Who.USER, "send it with a new key")
    NOT_FOUND = Advice("there is no {thing} {name}", Who.USER, "spinor status")
    METHOD = Advice("{method} is not possible on {path}", Who.USER, "see the interface documents at /api/docs")
    MEDIA_TYPE = Advice("content of type {given} is not accepted here, only {accepted}", Who.USER,
                        "send one of these types")  # fmt: skip
    # sandboxes
    NO_OUTPUT = Advice("job {job} is {status} and has no output sandbox", Who.USER, "spinor job why {job}")
    SANDBOX_UNKNOWN = Advice("there is no sandbox {pfn}", Who.USER, "upload it again")
    SANDBOX_TOO_LARGE = Advice("the sandbox has {size} bytes, at most {limit} are accepted", Who.USER,
                               "put large files on a storage element")  # fmt: skip
    SANDBOX_MISMATCH = Advice("the sandbox does not have the announced {property}", Who.USER, "upload it again")
    OBJECTS_AWAY = Advice("the object store cannot be reached", Who.OPERATOR, "spinor doctor")
    OBJECTS_REFUSED = Advice("the object store refused: {reason}", Who.OPERATOR, "spinor doctor")
    # data
    FILE_NAME = Advice("{name} cannot be a logical file name: {problem}", Who.USER, "choose another name")
    FILE_EXISTS = Advice("{lfn} exists already, with another content", Who.USER, "spinor data ls -l {lfn}")
    FILE_UNKNOWN = Advice("there is no file {lfn}", Who.USER, "spinor data ls")
    FILE_STATE = Advice("{lfn} is {status}: {verb} is not possible from there", Who.USER, "spinor data history {lfn}")
    FILE_LOST = Advice("no storage element has {lfn} any more", Who.USER, "spinor data history {lfn}")
    DIRECTORY_UNKNOWN = Advice("there is no directory {path}", Who.USER, "spinor data ls")
    REPLICA_UNKNOWN = Advice("{lfn} has no replica at {se}", Who.USER, "spinor data replicas {lfn}")
    REPLICA_STATE = Advice("the replica of {lfn} at {se} is {status}: {verb} is not possible from there", Who.USER,
                           "spinor data history {lfn}")  # fmt: skip
    REPLICA_LAST = Advice("{se} has the only good replica of {lfn}", Who.USER, "spinor data rm {lfn}")
    DATA_FORBIDDEN = Advice("you may not {verb} {path}", Who.USER, "spinor data ls -ld {path}")
    QUOTA = Advice("the quota of {scope} {name} is used up: {used} of {limit} {unit}", Who.USER, "spinor data usage")
    REMOVAL_UNKNOWN = Advice("there is no removal {removal}", Who.USER, "spinor data removals")
    REMOVAL_STATE = Advice("removal {removal} is {status}: {verb} is not possible from there", Who.USER,
                           "spinor data removals")  # fmt: skip
    FIELD_UNKNOWN = Advice("there is no metadata field {name}", Who.USER, "spinor data meta fields")
    FIELD_VALUE = Advice("{name}: {problem}", Who.USER, "spinor data meta fields")
    FIELD_TAKEN = Advice("{path} has {name} already: below one directory a field has one value", Who.USER,
                         "spinor data meta show {path}")  # fmt: skip
    QUERY = Advice("the metadata query cannot be understood: {problem}", Who.USER, "spinor data find --help")
    SE_UNKNOWN = Advice("there is no storage element {se} for this VO", Who.USER, "spinor data elements")
    SE_REFUSES = Advice("the storage element {se} is {status}: {access} is not possible now", Who.OPERATOR,
                        "spinor data elements")  # fmt: skip
    STORAGE_AWAY = Advice("the storage element {se} cannot be reached", Who.OPERATOR, "spinor data elements")
    STORAGE_REFUSED = Advice("the storage element {se} refused: {reason}", Who.OPERATOR, "spinor data elements")
    NOT_STORED = Advice("{se} does not have {lfn} as it was announced: {problem}", Who.USER, "upload it again")
    # transformations
    TRANSFORMATION = Advice("{field}: {problem}", Who.USER, "correct it; spinor transformation create --help")
    TRANSFORMATION_UNKNOWN = Advice("there is no transformation {transformation}", Who.USER,
                                    "spinor transformation list")  # fmt: skip
    TRANSFORMATION_EXISTS = Advice("there is a transformation {transformation} already, and it is another one",
                                   Who.USER, "choose another name; spinor transformation list")  # fmt: skip
    TRANSFORMATION_STATE = Advice("{transformation} is {status}: {verb} is not possible from there, it may become: "
                                  "{possible}", Who.USER, "spinor transformation show {transformation}")  # fmt: skip
    TASK_STATE = Advice("task {task} is {status}: {verb} is not possible", Who.USER,
                        "spinor transformation show NAME --tasks")  # fmt: skip
    # access
    NO_TOKEN = Advice("no valid credential came with the request", Who.USER, "spinor login")
    TOKEN_REUSED = Advice("Revoked refresh token reused: potential attack detected. You must authenticate again",
                          Who.USER, "spinor login")  # fmt: skip
    TOKEN_INVALID = Advice("{problem}", Who.USER, "spinor login")
    SESSION_UNKNOWN = Advice("Token {session} not found", Who.USER, "spinor login")
    SESSION_NOT_YOURS = Advice("Cannot revoke a refresh token owned by someone else", Who.USER, "spinor sessions list")
    NOT_MEMBER = Advice("User is not a member of the requested group ({name}, {group})", Who.USER,
                        "ask for another group, or ask the administrators of {vo}: {support}")  # fmt: skip
    NOT_REGISTERED = Advice("{name} logged in at the identity provider, but belongs to no group of {vo}", Who.USER,
                            "ask the administrators of {vo}: {support}")  # fmt: skip
    PROPERTY_NOT_YOURS = Advice("{wanted} are not valid properties for user {name}, available values: {available}",
                                Who.USER, "ask for these only")  # fmt: skip
    SCOPE = Advice("{problem}", Who.USER, "see /.well-known/dirac-metadata for VOs and their groups")
    CLIENT_UNKNOWN = Advice("{problem}", Who.USER, "use a client that this installation knows")
    GRANT = Advice("{problem}", Who.USER, "begin again: spinor login {vo}")
    NO_PROVIDER = Advice("{vo} has no identity provider here", Who.OPERATOR,
                         "spinor up writes credentials on this machine; else configure Registry.{vo}.idp")  # fmt: skip
    PROVIDER_AWAY = Advice("the identity provider of {vo} does not answer as it should: {problem}", Who.OPERATOR,
                           "try again later; if it stays so, tell the administrators of {vo}")  # fmt: skip
    PROVIDER_REFUSED = Advice("the identity provider of {vo} does not accept the login: {problem}", Who.USER,
                              "begin again: spinor login {vo}")  # fmt: skip
    TOO_MANY_GUESSES = Advice("too many wrong attempts came from there", Who.USER, "wait a minute, then try again")
    FORBIDDEN = Advice("this needs {right}", Who.USER, "spinor whoami")
    JOB_TOKEN = Advice("attempt {attempt} of job {job} is over, and its token with it", Who.NOBODY,
                       "spinor history job {job}")  # fmt: skip
    SUSPENDED = Advice("the {kind} {name} is suspended{until}: {reason}", Who.USER, "ask {support}")
    SUSPENSION = Advice("that cannot be suspended: {problem}", Who.USER, "spinor suspensions")
    # configuration
    CONFIGURATION = Advice("{field}: {problem}", Who.USER,
                           "correct it and try again; spinor config schema says what there is")  # fmt: skip
    REVISION = Advice("the configuration has changed: revision {newest} is the newest, not {expected}", Who.USER,
                      "look at the change with spinor config diff {expected}, then try again")  # fmt: skip
    REVISION_UNKNOWN = Advice("there is no revision {revision}, the newest is {newest}", Who.USER,
                              "spinor config history")  # fmt: skip
    NOT_YOUR_SECTION = Advice("{place} is not for an administrator of {vo} to change", Who.USER,
                              "ask an administrator of the installation: spinor config show /systems")  # fmt: skip
    VO_BROKEN = Advice("the configuration of {vo} cannot be read: {field}: {problem}", Who.OPERATOR,
                       "spinor config show /registry/{vo}, or spinor config rollback")  # fmt: skip
    VO_UNKNOWN = Advice("there is no VO {vo} here", Who.USER, "spinor vo list")
    COMPUTE_TOKEN = Advice("{vo} gets no token for {audience}: {problem}", Who.OPERATOR,
                           "correct Registry.{vo}.idp, or tell the administrators of its provider")  # fmt: skip
    # the system
    BUS_AWAY = Advice("the message bus cannot be reached", Who.OPERATOR, "spinor doctor")
    DATABASE_AWAY = Advice("the database cannot be reached, or its disk is full", Who.OPERATOR, "spinor doctor")
    DATABASE_HELD = Advice("process {pid} uses the database directory {path} already", Who.USER,
                           "it runs there already: spinor status; or set SPINOR_DATA to another directory")  # fmt: skip
    DATABASE_VERSION = Advice("{path} was written by PostgreSQL {found}, and here is PostgreSQL {needed}", Who.OPERATOR,
                              "pg_dump it with PostgreSQL {found} and load the dump into a new directory")  # fmt: skip
    DATABASE_PLACE = Advice("{path} cannot hold a database: {problem}", Who.USER,
                            "set SPINOR_DATA to a directory on a local disk that you may write to")  # fmt: skip
    DATABASE_START = Advice("PostgreSQL does not start: {problem}", Who.OPERATOR, "read {log}")
    DATABASE_PREPARE = Advice("PostgreSQL's {program} fails: {problem}", Who.OPERATOR,
                              "spinor doctor; a full disk or a limit of this account is the usual reason")  # fmt: skip
    GATEWAY_AWAY = Advice("the gateway does not answer at {url} ({problem})", Who.USER, "spinor up")
    NOT_ENDED = Advice("{left} of {jobs} jobs have not ended within {seconds} s", Who.NOBODY, "spinor job why {job}")
    NO_INSTALLATION = Advice("nothing says where the gateway is: there is no {path}", Who.USER,
                             "spinor up, or set SPINOR_URL and SPINOR_TOKEN")  # fmt: skip
    BUS_CONNECT = Advice("the message bus cannot be reached: {problem}", Who.OPERATOR,
                         "start RabbitMQ, or mend SPINOR_BUS; spinor doctor")  # fmt: skip
    DATABASE_CONNECT = Advice("the database cannot be reached: {problem}", Who.OPERATOR,
                              "start PostgreSQL, or mend SPINOR_DATABASE; spinor doctor")  # fmt: skip
    DEADLINE = Advice("no answer came within {seconds} s", Who.OPERATOR, "spinor status")
    BUSY = Advice("somebody else changes the same thing at the moment", Who.NOBODY, "try again")
    BROKEN = Advice("an unexpected fault, recorded as {reference}", Who.OPERATOR, "spinor dead-letters")
    STILL_BROKEN = Advice("{consumer} still cannot handle it: {problem}", Who.OPERATOR, "spinor parked")
    SETTING = Advice("the setting {name}: {problem}", Who.OPERATOR, "correct it, or unset it")
    ADDRESS_TAKEN = Advice("the gateway cannot listen on {host}:{port}: {problem}", Who.USER,
                           "if Spinor is up already: spinor status; else set SPINOR_PORT to another port")  # fmt: skip
    FILE = Advice("{path}: {problem}", Who.USER, "choose another place, or mend this one")
    FAULT = Advice("an unexpected fault: {problem}", Who.OPERATOR, "spinor doctor; report {file}, it has the details")
    CLAIMED_TWICE = Advice("the {kind} {name} is claimed twice: by {first} and by {second}", Who.OPERATOR,
                           "give one of them another name, or leave it out")  # fmt: skip
    SYSTEM = Advice("the system cannot work: {problem}", Who.OPERATOR, "correct the part that is named")
    LOG_CHANGED = Advice("events {first} to {last} of {vo} in the log of {log} are not those that were sealed",
                         Who.OPERATOR, "compare them with a backup: spinor verify --json")  # fmt: skip
    DEMO_FAILED = Advice("job {job} of the demonstration is {status}: {why}", Who.OPERATOR,
                         "spinor doctor; what its pilots said lies in {logs}")  # fmt: skip
    EXTENSION = Advice("{problem}", Who.USER, "{next}")

    @property
    def slug(self) -> str:
        """The code as it is stored and sent: `job-unknown`."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def of(cls, slug: str) -> "Code":
        """The code of this name; BROKEN for one we do not know (an answer from a newer release)."""
        return cls.__members__.get(slug.upper().replace("-", "_"), cls.BROKEN)


class Blank(dict[str, Any]):
    """Parameters for a template; what is missing is shown by its name."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


class Refused(Exception):
    """A rule said no. Carries a code and its parameters as fields, never prose."""

    def __init__(self, code: Code, **parameters: Any) -> None:
        super().__init__(code.slug, parameters)
        self.code = code
        self.parameters = parameters

    @property
    def what(self) -> str:
        """What happened, as a sentence."""
        return self.code.value.what.format_map(Blank(self.parameters))

    @property
    def next(self) -> str:
        """What to do next, as a command where there is one."""
        return self.code.value.next.format_map(Blank(self.parameters))

    def __str__(self) -> str:
        return self.what
