"""Why attempts fail: what each code says, who must act, and what to do next."""

from domain.errors import Advice, Blank, Who

SHOW = "spinor history job {job}"
OUTPUT = "spinor job output {job}"
AGAIN = "spinor job reschedule {job}"

FAILURES: dict[str, Advice] = {
    "sandbox-download": Advice("its input sandbox could not be fetched", Who.SITE, AGAIN),
    "sandbox-upload": Advice("its output sandbox could not be stored", Who.SITE, AGAIN),
    "input-download": Advice("an input file could not be fetched as the catalogue has it", Who.SITE, AGAIN),
    "output-missing": Advice("its program did not write an output file that it was to write", Who.USER, OUTPUT),
    "output-upload": Advice("its output files could not be stored", Who.OPERATOR, AGAIN),
    "output-refused": Advice("its output files were refused", Who.USER, "spinor job show {job}"),
    "executable-missing": Advice("its executable was not found where it ran", Who.USER, "spinor job show {job}"),
    "exit-code": Advice("its program ended with exit code {exit_code}", Who.USER, OUTPUT),
    "memory-limit": Advice("it used more memory than it was given", Who.USER, "submit it with a higher max_ram_mb"),
    "cpu-limit": Advice("it used more CPU time than it asked for", Who.USER, "submit it with a higher cpu_time"),
    "wall-limit": Advice("it ran longer than it may", Who.USER, "submit it in smaller parts"),
    "disk-full": Advice("the disk where it ran was full", Who.SITE, AGAIN),
    "killed": Advice("its program was ended from outside", Who.NOBODY, SHOW),
    "pilot-stopped": Advice("its pilot had to stop", Who.NOBODY, AGAIN),
    "pilot-lost": Advice("its pilot went silent", Who.SITE, AGAIN),
    "pilot-restarted": Advice("its pilot was started anew", Who.SITE, AGAIN),
    "payload-lost": Advice("its program vanished without a report", Who.SITE, AGAIN),
    "waited-too-long": Advice("no pilot took it within the time it may wait", Who.USER, "spinor job why {job}"),
    "requests-failed": Advice("what was to be done with its outputs failed", Who.OPERATOR, SHOW),
    # of jobs that are held for their inputs
    "input-unknown": Advice("an input file is not in the catalogue", Who.USER, "spinor data ls"),
    "input-unavailable": Advice(
        "its input files cannot be had together where it may run",
        Who.USER,
        "spinor data replicas LFN, or spinor data replicate LFN --to SE",
    ),
    "storage-banned": Advice(
        "a storage element with an input file cannot be read now", Who.OPERATOR, "spinor data elements"
    ),
    "held-too-long": Advice("nobody freed it within the time it may be held", Who.OPERATOR, AGAIN),
}
UNKNOWN = Advice("it failed for a reason that is not in the list ({code})", Who.OPERATOR, SHOW)


def failure(code: str, **parameters: object) -> tuple[str, Who, str]:
    """The sentence of a failure code, who must act, and the next command."""
    advice = FAILURES.get(code, UNKNOWN)
    known = Blank({"code": code, **parameters})
    return advice.what.format_map(known), advice.who, advice.next.format_map(known)
