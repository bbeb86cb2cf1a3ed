"""The meaning of responses: status, body, expected kind."""

from __future__ import annotations

from tap_campusgroups.exports.response import ResponseKind

Case = tuple[int, bytes | object, ResponseKind]
"""A status, a body, encoded as JSON unless it is bytes, and the expected kind."""

RESPONSES_TO_POST: list[Case] = [
    (200, {"queryId": "q1"}, ResponseKind.ACCEPTED),
    (201, {"queryId": "q1"}, ResponseKind.ACCEPTED),
    (200, {"queryId": ""}, ResponseKind.UNRECOGNISED),
    (200, {"queryId": 7}, ResponseKind.UNRECOGNISED),
    (200, {}, ResponseKind.UNRECOGNISED),
    (200, {"message": "Error running query"}, ResponseKind.FAILED),
    (200, b"", ResponseKind.INVALID_JSON),
    (400, {"message": "updatedStart and updatedEnd are required"}, ResponseKind.REJECTED),
    (401, {"message": "Error validating API key from API endpoint"}, ResponseKind.DENIED),
    (404, b"<html>", ResponseKind.REJECTED),
    (429, {"message": "Too many requests"}, ResponseKind.BUSY),
    (500, {"message": "Query execution failed"}, ResponseKind.FAILED),
    (500, {"message": "Error running query"}, ResponseKind.SERVER_ERROR),
    (500, {"message": "Unknown query execution state"}, ResponseKind.SERVER_ERROR),
    (500, {"message": "Error Parsing Start Date"}, ResponseKind.REJECTED),
    (500, {"message": "Error validating API key from API endpoint"}, ResponseKind.SERVER_ERROR),
    (200, {"QueryID": "q1"}, ResponseKind.ACCEPTED),
    (200, {"queryId": "q1", "message": "Accepted"}, ResponseKind.ACCEPTED),
    (200, {"queryId": "q1", "error": "no"}, ResponseKind.FAILED),
    (500, b"", ResponseKind.SERVER_ERROR),
    (307, b"", ResponseKind.REDIRECTED),
    (200, b'{"queryId": "a", "queryId": "a"}', ResponseKind.UNRECOGNISED),
    (200, {"queryId": "q" * 4096}, ResponseKind.ACCEPTED),
    (200, {"queryId": "q" * 4097}, ResponseKind.UNRECOGNISED),
]
"""Responses to the request that submits an export."""

RESPONSES_TO_GET: list[Case] = [
    (201, b"", ResponseKind.QUEUED),
    (202, b"<html>", ResponseKind.RUNNING),
    (200, {"Results": []}, ResponseKind.PAGE),
    (200, {"Results": [{"id": 1}], "NextToken": "t"}, ResponseKind.PAGE),
    (200, {"Results": [], "message": "Query still running"}, ResponseKind.RUNNING),
    (200, {"Results": [], "message": "Not ready yet"}, ResponseKind.RUNNING),
    (200, {"Results": [], "message": "Please come back later"}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "message": {"text": "running"}}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "message": None}, ResponseKind.PAGE),
    (200, {"Results": [], "message": ""}, ResponseKind.PAGE),
    (200, {"Results": [], "message": "No records found"}, ResponseKind.PAGE),
    (200, {"Results": [], "message": "Success"}, ResponseKind.PAGE),
    (200, {"Results": [], "Message": "Query still running"}, ResponseKind.RUNNING),
    (200, {"Results": [], "error": "no access"}, ResponseKind.FAILED),
    (200, {"Results": [{"id": 1}], "errors": [{"code": 1}]}, ResponseKind.FAILED),
    (200, {"Results": [], "error": None, "errors": []}, ResponseKind.PAGE),
    (200, {"Results": [{"id": 1}], "message": "Query failed after 1 row"}, ResponseKind.FAILED),
    (200, {"Results": [{"id": 1}], "message": "Query was cancelled"}, ResponseKind.CANCELLED),
    (200, {"Results": [{"id": 1}], "message": "The query is complete"}, ResponseKind.PAGE),
    *(
        (200, {"Results": [{"id": 1}], "message": message, **token}, kind)
        for message, kind in (
            ("Query is queued and waiting to be executed", ResponseKind.QUEUED),
            ("The query is still running", ResponseKind.RUNNING),
            ("The query is not complete", ResponseKind.RUNNING),
            ("Partial result", ResponseKind.FAILED),
            ("More rows are available", ResponseKind.FAILED),
            ("No more rows are available", ResponseKind.PAGE),
            ("Success", ResponseKind.PAGE),
        )
        for token, kind in (({}, kind), ({"NextToken": "t"}, ResponseKind.PAGE))
    ),
    (200, {"results": [{"id": 1}], "next_token": "t"}, ResponseKind.PAGE),
    *(
        (200, b'{"Results": [{"id": 1}], %b, "%b": %b}' % (first, key, second), kind)
        for first, key, second, kind in (
            (b'"Results": []', b"NextToken", b"null", ResponseKind.UNRECOGNISED),
            (b'"Results": [{"id": 1}]', b"NextToken", b"null", ResponseKind.UNRECOGNISED),
            (b'"NextToken": "t"', b"NextToken", b"null", ResponseKind.UNRECOGNISED),
            (b'"NextToken": "t"', rb"Next\u0054oken", b'"t"', ResponseKind.UNRECOGNISED),
            (b'"message": "failed"', b"message", b'""', ResponseKind.UNRECOGNISED),
            (b'"a": {"b": 1, "b": 2}', b"c", b'"\\", \\"d\\": "', ResponseKind.PAGE),
            (rb'"a\"b" : 1 ', rb"a\\", b' "}" ', ResponseKind.PAGE),
        )
    ),
    (200, b'\xef\xbb\xbf \r\n{ "Results"\t:\n[ ] , "x" :1 } \n', ResponseKind.PAGE),
    (200, {"Results": [], "NextToken": "t" * 4096}, ResponseKind.PAGE),
    (200, {"Results": [], "NextToken": "t" * 4097}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "results": [{"id": 1}]}, ResponseKind.PAGE),
    (200, {"Results": [{"id": 2}], "results": [{"id": 1}]}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": "a", "nextToken": "b"}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": []}, ResponseKind.UNRECOGNISED),
    (200, {"Results": [], "NextToken": 0}, ResponseKind.UNRECOGNISED),
    (200, {"message": "Query is still RUNNING"}, ResponseKind.RUNNING),
    (200, {"message": "Query is queued and waiting to be executed"}, ResponseKind.QUEUED),
    (200, {"message": "ERROR: something"}, ResponseKind.FAILED),
    (200, {"message": "error while running"}, ResponseKind.FAILED),
    (200, {"message": "Query execution was cancelled"}, ResponseKind.CANCELLED),
    (200, {"message": 5}, ResponseKind.UNRECOGNISED),
    (200, {"Results": None}, ResponseKind.UNRECOGNISED),
    (200, {"Results": {}}, ResponseKind.UNRECOGNISED),
    (200, {"Results": None, "message": "Query is still running"}, ResponseKind.RUNNING),
    (200, {"NextToken": "t"}, ResponseKind.UNRECOGNISED),
    (200, {"queryId": "q1"}, ResponseKind.UNRECOGNISED),
    (200, {}, ResponseKind.UNRECOGNISED),
    (200, [], ResponseKind.UNRECOGNISED),
    (204, b"", ResponseKind.INVALID_JSON),
    (206, {"Results": []}, ResponseKind.UNRECOGNISED),
    (200, b'{"Results": [{"id": 1}', ResponseKind.INVALID_JSON),
    (302, b"", ResponseKind.REDIRECTED),
    (400, {"message": "?"}, ResponseKind.EXPIRED),
    (404, b"", ResponseKind.EXPIRED),
    (405, b"", ResponseKind.REJECTED),
    (403, b"", ResponseKind.DENIED),
    (408, b"", ResponseKind.BUSY),
    (410, b"", ResponseKind.CANCELLED),
    (500, {"message": "Query execution failed"}, ResponseKind.FAILED),
    (500, {"message": "Query execution was canceled"}, ResponseKind.CANCELLED),
    (500, {"message": "error getting query execution status"}, ResponseKind.SERVER_ERROR),
    (500, {"message": "Error parsing query result"}, ResponseKind.SERVER_ERROR),
    (500, {"message": "Error Parsing Start Date"}, ResponseKind.SERVER_ERROR),
]
"""Responses to the request that polls or fetches a page."""
