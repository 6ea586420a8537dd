"""A phone and an administrator in Python, written from the published protos and PROTOCOL.md alone.

usage: client.py HOST:PORT ADMIN_CODE GENERATED_DIR

Makes an area and codes for other clients, then enrols itself as a phone: records a visit with a request offline,
syncs, syncs the same again, pulls, reads a notice, and asks how far the area is. Prints the area and the codes as JSON; fails on the first broken promise.
"""
import json
import sys
import time
import uuid

address, admin_code, generated = sys.argv[1:4]
sys.path.insert(0, generated)

import grpc  # noqa: E402
from rounds.v1 import (device_pb2, device_pb2_grpc, directory_pb2, directory_pb2_grpc, op_pb2, record_pb2,  # noqa: E402
                       summary_pb2, summary_pb2_grpc, sync_pb2, sync_pb2_grpc)

BOOT = 7
channel = grpc.insecure_channel(address)
devices = device_pb2_grpc.DeviceServiceStub(channel)
directory = directory_pb2_grpc.DirectoryServiceStub(channel)
sync = sync_pb2_grpc.SyncServiceStub(channel)


def signed_in(token):
    return [("authorization", f"Bearer {token}")]


def clock():
    return op_pb2.ClockReading(wall_ms=int(time.time() * 1000), boot=BOOT, monotonic_ms=int(time.monotonic() * 1000))


def create(area, kind, body, record=None):
    return op_pb2.Op(schema_version=1, record=record or str(uuid.uuid4()), area=area, kind=kind, clock=clock(),
                     create=op_pb2.Create(body=body))


admin = devices.Enrol(device_pb2.EnrolRequest(code=admin_code, label="Python administrator"))
area = str(uuid.uuid4())
body = record_pb2.Body(area=record_pb2.Area(name="Willow Court", level="community", time_zone="Asia/Shanghai"))
answer = directory.Change(directory_pb2.ChangeRequest(ops=[create(area, record_pb2.KIND_AREA, body, area)]),
                          metadata=signed_in(admin.token))
assert [it.outcome for it in answer.verdicts] == [op_pb2.OUTCOME_APPLIED], answer

codes = [devices.CreateCode(device_pb2.CreateCodeRequest(role=device_pb2.ROLE_FIELD, areas=[area]),
                            metadata=signed_in(admin.token)).code for _ in range(3)]

phone = devices.Enrol(device_pb2.EnrolRequest(code=codes[0], label="Python phone"))
try:
    devices.Enrol(device_pb2.EnrolRequest(code=codes[0], label="Thief"))
    raise AssertionError("a code works once")
except grpc.RpcError as error:
    assert error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.NOT_FOUND,
                            grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION), error

visit, request, dwelling = (str(uuid.uuid4()) for _ in range(3))
ops = [
    create(area, record_pb2.KIND_VISIT, record_pb2.Body(visit=record_pb2.Visit(
        subject=dwelling, purpose="routine", outcome="met")), visit),
    create(area, record_pb2.KIND_REQUEST, record_pb2.Body(request=record_pb2.Request(
        subject=dwelling, category="water", channel="visit", visit=visit)), request),
    # Nobody may write into an area that is not theirs: kept whole, and nothing else is held up by it.
    create(str(uuid.uuid4()), record_pb2.KIND_VISIT, record_pb2.Body(visit=record_pb2.Visit(
        subject=dwelling, purpose="routine", outcome="met"))),
]
sealed = [sync_pb2.SealedOp(seq=1, followed_by=1, op=ops[0]), sync_pb2.SealedOp(seq=2, op=ops[1]),
          sync_pb2.SealedOp(seq=3, op=ops[2])]


def call(cursor, ops=()):
    return sync.Sync(sync_pb2.SyncRequest(ops=ops, cursor=cursor, clock=clock(), holds_from=1, unsent_ops=len(ops)),
                     metadata=signed_in(phone.token))


first = call(b"", sealed)
expected = [op_pb2.OUTCOME_APPLIED, op_pb2.OUTCOME_APPLIED, op_pb2.OUTCOME_QUARANTINED]
assert [it.outcome for it in first.verdicts] == expected, first.verdicts
assert first.verdicts[2].reason == "NOT_IN_SCOPE", first.verdicts
assert first.acknowledged_through == 3
again = call(b"", sealed)
assert list(again.verdicts) == list(first.verdicts), "a retry gets the same verdicts"

records, answer = {}, again
while True:
    for item in answer.feed:
        if item.HasField("record"):
            records[item.record.id] = item.record
    if not answer.more:
        break
    answer = call(answer.cursor)
assert {area, visit, request} <= records.keys(), records.keys()
assert records[request].status == "open" and records[request].body.request.category == "water"
assert not call(answer.cursor).feed, "nothing new, nothing sent"

# What has to be done and who should know of it.
terms = directory.ListTerms(directory_pb2.ListTermsRequest(vocabulary="request_category"),
                            metadata=signed_in(admin.token)).terms
hours = {term.word: term.due_hours for term in terms}
assert (hours["emergency"], hours["water"], hours["noise"], hours["complex"]) == (2, 24, 7 * 24, 15 * 24), hours


def change(*ops):
    return directory.Change(directory_pb2.ChangeRequest(ops=ops), metadata=signed_in(admin.token)).verdicts


def plan_with(**fields):
    return create(area, record_pb2.KIND_PLAN, record_pb2.Body(plan=record_pb2.Plan(
        subject=dwelling, sort="maintenance", mandated=True, **fields)))


plan = plan_with(rule="FREQ=YEARLY", phases=[record_pb2.Phase(until_day=14, rule="FREQ=DAILY")])
assert [it.outcome for it in change(plan)] == [op_pb2.OUTCOME_APPLIED]
try:
    change(plan_with(rule="FREQ=HOURLY"))
    raise AssertionError("a plan does not recur by the hour")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "BYHOUR" in error.details(), error
deletion = op_pb2.Op(schema_version=1, record=plan.record, area=area, kind=record_pb2.KIND_PLAN, clock=clock(),
                     delete=op_pb2.Delete(reason="a mistake"))
[refused] = change(deletion)
assert (refused.outcome, refused.reason) == (op_pb2.OUTCOME_NOT_APPLIED, "STEP_NOT_ALLOWED"), refused

now_ms = int(time.time() * 1000)
notice = create(area, record_pb2.KIND_NOTICE, record_pb2.Body(notice=record_pb2.Notice(
    subject=plan.record, sort="gap", at_ms=now_ms, role="supervisor")))
policy = create(area, record_pb2.KIND_POLICY, record_pb2.Body(policy=record_pb2.Policy(
    steps=[record_pb2.ReminderStep(offset_minutes=-60, to="responsible")], quiet_from="21:00", quiet_until="07:00")))
assert [it.outcome for it in change(notice, policy)] == [op_pb2.OUTCOME_APPLIED] * 2
seen = op_pb2.Op(schema_version=1, record=notice.record, area=area, kind=record_pb2.KIND_NOTICE, clock=clock(),
                 step=record_pb2.Step(to="seen"))
withdrawn = op_pb2.Op(schema_version=1, record=notice.record, area=area, kind=record_pb2.KIND_NOTICE, clock=clock(),
                         step=record_pb2.Step(to="withdrawn"))
answer = call(answer.cursor, [sync_pb2.SealedOp(seq=4, op=seen), sync_pb2.SealedOp(seq=5, op=withdrawn)])
outcomes = [it.outcome for it in answer.verdicts]
assert outcomes == [op_pb2.OUTCOME_APPLIED, op_pb2.OUTCOME_QUARANTINED], answer.verdicts
listed = directory.ListRecords(
    directory_pb2.ListRecordsRequest(kind=record_pb2.KIND_NOTICE, due_from_ms=now_ms, due_until_ms=now_ms + 1),
    metadata=signed_in(admin.token)).records
assert (notice.record, "seen") in {(record.id, record.status) for record in listed}, listed

# How far the area is, and what is behind a number.
summaries = summary_pb2_grpc.SummaryServiceStub(channel)
scope = summary_pb2.SummaryScope(area=area, period="day")
told = summaries.Summarize(summary_pb2.SummarizeRequest(scope=scope), metadata=signed_in(admin.token))
figures = {figure.name: figure for figure in told.summary.figures}
assert (figures["visit"].value, figures["visit/outcome/met"].value, figures["request/category/water"].value) == (1, 1, 1)
assert figures["visit"].HasField("before") and figures["visit"].before == 0, figures["visit"]
assert (told.freshness.devices, told.freshness.quarantined_ops) == (1, 1), told.freshness
behind = summaries.ListBehind(summary_pb2.ListBehindRequest(scope=scope, figure="visit/outcome/met"),
                              metadata=signed_in(admin.token))
assert [record.id for record in behind.records] == [visit] and not behind.next_page_token, behind

print(json.dumps({"area": area, "codes": codes[1:]}))
