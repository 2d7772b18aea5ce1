"""The services for bulks of files, by the command that each takes."""

from collections.abc import Mapping

from domain.data import bulk, removal
from domain.data.clearing import ClearStorage
from domain.data.consistency import CheckStorage
from domain.data.request import CarryOutRequest
from domain.messages import Command
from infra.data import checking, describing, registering, removing, requesting
from infra.system import Opening

SERVICES: Mapping[type[Command], Opening] = {
    bulk.RegisterFiles: registering.register,
    bulk.AnnounceFiles: registering.announce,
    bulk.ConfirmFiles: registering.confirm,
    bulk.ChangeReplicas: registering.change_replicas,
    bulk.MakeDirectories: registering.make_directories,
    bulk.ProtectPaths: describing.protect,
    bulk.DescribePaths: describing.describe,
    removal.CarryOutRemoval: removing.carry_out,
    removal.UndoRemoval: removing.undo,
    removal.PurgeRemoval: removing.purge,
    ClearStorage: removing.clear,
    CarryOutRequest: requesting.carry_out,
    CheckStorage: checking.check,
}
