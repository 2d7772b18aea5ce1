"""One process of the system that is measured: `part.py PARTS`, with its settings in SPINOR_* variables."""

import logging
import os
import sys

import structlog
import uvloop

from infra.app import CORE
from infra.serve import serve
from infra.settings import settings

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
os.environ.pop("SPINOR_TEST_SERVERS", None)  # the mark by which the guard of the servers finds this process
uvloop.run(serve(CORE, settings(), sys.argv[1].split(",")))
