"""A dry run: what would become of a submission, before it is one."""

from gateway_site import JOB, Site, refusal, submitted

HERE = {"executable": "/bin/true", "sites": ["LCG.CERN.cern"]}
ELSEWHERE = {"executable": "/bin/true", "sites": ["LCG.PIC.es"]}


async def test_a_plan_says_where_jobs_could_run_and_what_keeps_the_others_away(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    await pilot.offer(wait=0)
    answer = await ann.post("/api/v1/jobs/plan", json={"jobs": [HERE, HERE, ELSEWHERE]})
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    assert (plan["jobs"], plan["rejected"], plan["errors"]) == (3, 0, [])
    here, elsewhere = plan["kinds"]
    assert (here["jobs"], here["fitting"], here["sites"], here["reasons"]) == (2, 1, ["LCG.CERN.cern"], [])
    assert (elsewhere["jobs"], elsewhere["fitting"], elsewhere["sites"]) == (1, 0, [])
    (reason,) = elsewhere["reasons"]
    assert (reason["wanted"], reason["offered"], reason["pilots"]) == ("LCG.PIC.es", "LCG.CERN.cern", 1)
    assert (await ann.get("/api/v1/jobs")).json()["jobs"] == []


async def test_a_plan_knows_who_comes_first_and_how_long_the_like_waited(site: Site) -> None:
    ann, pilot = await site.user("ann"), await site.pilot()
    await submitted(ann, *[JOB] * 5)
    for _ in range(3):
        assert await pilot.offer()
    (kind,) = (await ann.post("/api/v1/jobs/plan", json={"jobs": [JOB]})).json()["kinds"]
    assert kind["ahead"] == 2
    assert (kind["waited"]["like"], kind["waited"]["jobs"]) == ("the same needs", 3)
    assert 0 <= kind["waited"]["half"] <= kind["waited"]["most"]


async def test_a_plan_of_a_wrong_description_names_its_fields(site: Site) -> None:
    ann = await site.user("ann")
    answer = await ann.post("/api/v1/jobs/plan", json={"jobs": [JOB, {"executable": "x", "cpu_time": "soon"}]})
    plan = answer.json()
    assert (plan["jobs"], plan["rejected"]) == (1, 1)
    ((error,),) = [each["errors"] for each in plan["errors"]]
    assert (plan["errors"][0]["index"], error["field"]) == (1, "cpu_time")
    refusal(await ann.post("/api/v1/jobs/plan", json={"jobs": []}), 400, "malformed")


async def test_the_schema_of_a_description_is_published(site: Site) -> None:
    ann = await site.user("ann")
    schema = (await ann.get("/api/v1/jobs/schema")).json()
    assert schema["title"] == "Job description"
    assert {"executable", "sites", "cpu_time", "input_data"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False
