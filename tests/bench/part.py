"""One process of the system that is measured: `part.py PARTS`, with its settings in SPINOR_* variables."""

import logging
import sys

import structlog
import uvloop

from infra.app import CORE
from infra.serve import serve
from infra.settings import settings

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
uvloop.run(serve(CORE, settings(), sys.argv[1].split(",")))
