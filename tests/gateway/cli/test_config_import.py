"""Configurations of DiracX and DIRAC become ours; whatever was not understood is told."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.errors import Code, Refused
from domain.schema import Configuration, read
from domain.tree import Tree
from gateway.cli import cfg, from_dirac, from_diracx
from gateway.cli.import_cmd import converted
from gateway.contract_config import contract

DIRACX = """
DIRAC: {NoSetup: true}
Registry:
  lhcb:
    IdP: {URL: https://lhcb-auth.cern.ch, ClientID: d396912e-2f04}
    Support: {Message: Ask us, Email: help@cern.ch}
    DefaultGroup: lhcb_user
    Users:
      b824d4dc-1f9d: {PreferedUsername: chaen, Email: c@cern.ch, DNs: [/DC=ch/CN=chaen]}
      c935e5ed-2g0e: {PreferedUsername: albdr, Suspended: [lhcb]}
    Groups:
      lhcb_user:
        {Properties: [NormalUser, PrivateLimitedDelegation], JobShare: 500, Users: [b824d4dc-1f9d, c935e5ed-2g0e]}
      lhcb_prmgr: {Properties: [ProductionManagement, TimeTravel], Users: [b824d4dc-1f9d, nobody]}
Operations:
  Defaults: {JobDescription: {MaxCPUTime: 600000}, Services: {JobScheduling: {MaxRescheduling: 5}}}
  lhcb:
    InputDataPolicy:
      {Default: DIRAC.WorkloadManagementSystem.Client.DownloadInputData, LCG.CERN.cern: a.InputDataByProtocol}
    Cloud: {a: 1}
    FancyThing: {b: 2}
Resources:
  Computing: {OSCompatibility: {el9: [el8, el9]}}
"""
DIRAC = """
# the configuration of a small installation
DIRAC
{
  VirtualOrganization = lhcb
  Setup = Production
}
Registry
{
  DefaultGroup = lhcb_user, guest
  Users
  {
    chaen { DN = /DC=ch/DC=cern/CN=chaen
      Email = c@cern.ch   # his own
      ID = b824
    }
    albdr
    {
      DN = /DC=ch/CN=albdr
    }
  }
  Groups
  {
    lhcb_user
    {
      Users = chaen
      Users += albdr
      Properties = NormalUser, PrivateLimitedDelegation
      JobShare = 200
    }
    other { VO = elsewhere
      Users = chaen
    }
  }
  VO { lhcb { VOMSName = lhcb
    IdProvider = IAM
    } }
}
Resources
{
  IdProviders { IAM { issuer = https://lhcb-auth.cern.ch/
    client_id = spinor
    client_secret = do-not-take-me
    scope = openid profile
    } }
  Sites
  {
    LCG
    {
      LCG.CERN.cern
      {
        Name = CERN-PROD
        Coordinates = 06.0458:46.2325
        MoUTierLevel = 0
        SE = CERN-disk
        CEs
        {
          ce503.cern.ch
          {
            CEType = HTCondorCE
            Queues { condor { maxCPUTime = 2880
              SI00 = 2500
              MaxTotalJobs = 5000
              MaxWaitingJobs = 50
              NumberOfProcessors = 8
              VO = lhcb
    } }
          }
          old.cern.ch { CEType = CREAM
    }
        }
      }
    }
  }
  StorageElements
  {
    CERN-disk
    {
      BackendType = Eos
      AccessProtocol.1 { Protocol = root
        Host = eoslhcb.cern.ch
        Port = 1094
        Path = /eos/lhcb/grid
        SpaceToken = LHCb
    }
    }
  }
  FileCatalogs { RucioFileCatalog { AccessType = Read-Write
    } }
  Computing { OSCompatibility { el9 = el8, el9
    } }
}
Operations
{
  lhcb
  {
    JobDescription { MaxCPUTime = 600000
    }
    JobScheduling { RunningLimit { LCG.CERN.cern { JobType { User = 100
    } } }
      MatchingDelay { LCG.CERN.cern { JobType { Merge = 10
    } } } }
    Services { Catalogs { RucioFileCatalog { CatalogType = Rucio
    } } }
  }
}
"""


def whole(document: Tree) -> Configuration:
    """It reads, every part of it."""
    found = read(document)
    assert not found.problems, found.problems
    return found


def test_a_configuration_of_diracx_becomes_ours() -> None:
    document, source = from_diracx.converted(yaml.safe_load(DIRACX))
    lhcb = whole(document).vo("lhcb")
    assert lhcb and lhcb.registry.idp and lhcb.registry.idp.issuer == "https://lhcb-auth.cern.ch"
    assert lhcb.registry.users["b824d4dc-1f9d"].groups == ("lhcb_prmgr", "lhcb_user")
    assert lhcb.registry.users["c935e5ed-2g0e"].suspended
    assert lhcb.operations.job_description.max_cpu_time == 600_000
    assert lhcb.operations.job_scheduling.max_rescheduling == 5
    assert lhcb.operations.input_data_policy.sites == {"LCG.CERN.cern": "protocol"}
    told = {note.place: note.problem for note in source.report()}
    assert "there is no property TimeTravel" in told["/Registry/lhcb/Groups/lhcb_prmgr"]
    assert "there is no user nobody" in told["/Registry/lhcb/Groups/lhcb_prmgr/Users"]
    assert told["/Operations/lhcb/FancyThing/b"] == "not understood, left out"


def test_what_came_from_diracx_goes_out_to_its_clients_the_same() -> None:
    original = yaml.safe_load(DIRACX)
    lhcb = whole(from_diracx.converted(original)[0]).vo("lhcb")
    assert lhcb
    there, back = original["Registry"]["lhcb"], contract(lhcb)["Registry"]["lhcb"]
    assert back["IdP"] == there["IdP"] and back["DefaultGroup"] == there["DefaultGroup"]
    assert set(back["Groups"]["lhcb_user"]["Users"]) == set(there["Groups"]["lhcb_user"]["Users"])
    assert back["Groups"]["lhcb_user"]["JobShare"] == 500
    assert contract(lhcb)["Operations"]["lhcb"]["Cloud"] == {"a": 1}
    assert contract(lhcb)["Resources"]["Computing"]["OSCompatibility"] == {"el9": ["el8", "el9"]}


def test_a_dirac_cfg_becomes_ours() -> None:
    document, source = from_dirac.converted(cfg.parse(DIRAC))
    found = whole(document)
    lhcb = found.vo("lhcb")
    assert lhcb and lhcb.registry.idp and lhcb.registry.idp.scopes == ("openid", "profile")
    assert lhcb.registry.default_group == "lhcb_user" and set(lhcb.registry.users) == {"b824", "albdr"}
    site = lhcb.resources.sites["LCG.CERN.cern"]
    queue = site.ces["ce503.cern.ch"].queues["condor"]
    assert (queue.max_total, queue.max_waiting, queue.processors, queue.vos) == (5000, 50, 8, ("lhcb",))
    assert (site.tier, site.storage_elements, queue.benchmark) == (0, ("CERN-disk",), 10.0)
    assert queue.max_cpu_time == 2880 * 60 * 10
    (access,) = lhcb.resources.storage_elements["CERN-disk"].access
    assert (access.protocol, access.url) == ("root", "root://eoslhcb.cern.ch:1094/eos/lhcb/grid")
    limits = lhcb.operations.job_scheduling.sites["LCG.CERN.cern"]
    assert limits.running == {"job_type": {"User": 100}} and limits.delay == {"job_type": {"Merge": 10}}
    told = {note.place: note.problem for note in source.report()}
    assert "a secret" in told["/Resources/IdProviders/IAM/client_secret"] and "do-not-take-me" not in str(document)
    assert "there is no type CREAM" in told["/Resources/Sites/LCG/LCG.CERN.cern/CEs/old.cern.ch/CEType"]
    assert "elsewhere" in told["/Registry/Groups/other"] and "/DIRAC/Setup" in told
    assert "no subject" in told["/Registry/Users/albdr"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("A\n{\n  x = 1\n", 3), ("}\n", 1), ("A\nB = 1\n", 2), ("A = 1\nA { }\n", 2), ("{\n}\n", 1), ("A { " * 40, 1)],
)
def test_a_cfg_that_is_none_says_where(text: str, line: int) -> None:
    with pytest.raises(Refused) as refused:
        cfg.parse(text)
    assert refused.value.code is Code.MALFORMED and f"line {line}:" in str(refused.value)


def test_options_hold_what_they_hold() -> None:
    found = cfg.parse("a = b = c\nurl = https://x/#y\nnone =\ne = {x}\n  # all of it\nl = 1\nl += 2\nS{T{k=v\n}}\n")
    assert found == {"a": "b = c", "url": "https://x/#y", "none": "", "e": "{x}", "l": "1, 2", "S": {"T": {"k": "v"}}}


def test_a_bare_repository_is_read(tmp_path: Path) -> None:
    work, bare = tmp_path / "work", tmp_path / "cs.git"
    work.mkdir()
    (work / "default.yml").write_text(DIRACX)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(work)]
    for words in (["init", "-q", "-b", "master"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    assert converted(str(bare))[0] == converted(str(work))[0] == from_diracx.converted(yaml.safe_load(DIRACX))[0]


def test_the_command_writes_what_it_understood_and_reports_the_rest(alone: Any, tmp_path: Path) -> None:
    source, output = tmp_path / "dirac.cfg", tmp_path / "ours.yml"
    source.write_text(DIRAC)
    result = alone("config", "import", source, "-o", output)
    assert result.exit_code == 0 and "CREAM" in result.stderr, result.output
    assert "lhcb" in yaml.safe_load(output.read_text())["registry"]
    told = json.loads(alone("config", "import", source, "--json").stdout)
    assert told["document"]["registry"].keys() == {"lhcb"}
    assert any("CSAdministrator" in each["problem"] for each in told["report"]), "what it still needs"
    assert alone("config", "import", tmp_path / "none.cfg").exit_code == 1
