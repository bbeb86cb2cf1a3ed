-- The files of target-jsonl in DuckDB 2.0 or newer. Run it in the folder that has `output/`:
--
--     meltano run tap-campusgroups target-jsonl
--     duckdb warehouse.duckdb < examples/duckdb.sql
--
-- For each stream, `<stream>` has the newest row of each id, deleted rows included, and
-- `<stream>_lines` every row as often as the tap has read it. A stream without a file is empty.
-- '/dev/null' gives it its columns: with `allow_empty` alone, DuckDB ignores `columns`.
-- What is exact and what is not: docs/readers.md.
--
-- Generated from the schemas by `make generate`; do not edit. For your own catalog or folder:
--     python -m examples.readers.sql duckdb catalog.json > views.sql

CREATE OR REPLACE MACRO newest(lines) AS TABLE
SELECT * EXCLUDE (_line) FROM query_table(lines)
QUALIFY row_number() OVER (PARTITION BY id ORDER BY "updatedOn" DESC NULLS LAST, _line DESC) = 1;

CREATE OR REPLACE VIEW "academic_experiences_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/academic_experiences.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "userId": 'BIGINT',
    "university": 'VARCHAR',
    "studyField": 'VARCHAR',
    "degree": 'VARCHAR',
    "activities": 'VARCHAR',
    "startYear": 'BIGINT',
    "endYear": 'BIGINT',
    "deleted": 'BOOLEAN',
    "location": 'VARCHAR',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "academic_experiences" AS FROM newest('academic_experiences_lines');

CREATE OR REPLACE VIEW "announcement_recipients_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/announcement_recipients.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "announcementId": 'BIGINT',
    "recipientId": 'BIGINT',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "announcement_recipients" AS FROM newest('announcement_recipients_lines');

CREATE OR REPLACE VIEW "announcements_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/announcements.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "senderId": 'BIGINT',
    "message": 'VARCHAR',
    "type": 'VARCHAR',
    "typeId": 'BIGINT',
    "deleted": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "announcements" AS FROM newest('announcements_lines');

CREATE OR REPLACE VIEW "badge_completions_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/badge_completions.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "badgeId": 'BIGINT',
    "userId": 'BIGINT',
    "groupId": 'BIGINT',
    "count": 'BIGINT',
    "deleted": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "badge_completions" AS FROM newest('badge_completions_lines');

CREATE OR REPLACE VIEW "badges_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/badges.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "description": 'VARCHAR',
    "userId": 'BIGINT',
    "groupId": 'BIGINT',
    "private": 'BOOLEAN',
    "groupBadge": 'BOOLEAN',
    "photoUrl": 'VARCHAR',
    "completionRuleId": 'BIGINT',
    "isLinkedinCertificate": 'BOOLEAN',
    "winLimit": 'BIGINT',
    "deleted": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "badges" AS FROM newest('badges_lines');

CREATE OR REPLACE VIEW "budget_transactions_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/budget_transactions.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "userId": 'BIGINT',
    "budgetId": 'BIGINT',
    "groupId": 'BIGINT',
    "deleted": 'BOOLEAN',
    "description": 'VARCHAR',
    "amountFromAllocation": 'DECIMAL(38, 9)',
    "amountFromGroupFunds": 'DECIMAL(38, 9)',
    "paymentMethod": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "transactionCategory": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "budgetSourceType": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "vendorName": 'VARCHAR',
    "externalTransactionId": 'VARCHAR',
    "additionalNotes": 'VARCHAR',
    "fundRequestType": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "fundRequestStatus": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "referenceNumber": 'VARCHAR',
    "receipts": 'VARCHAR[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "budget_transactions" AS FROM newest('budget_transactions_lines');

CREATE OR REPLACE VIEW "budgets_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/budgets.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "userId": 'BIGINT',
    "name": 'VARCHAR',
    "description": 'VARCHAR',
    "deleted": 'BOOLEAN',
    "totalAllocation": 'DECIMAL(38, 9)',
    "budgetStatus": 'VARCHAR',
    "startDate": 'DATE',
    "endDate": 'DATE',
    "budgetRequestFormId": 'BIGINT',
    "budgetType": 'VARCHAR',
    "paymentRequestApprovalFormId": 'BIGINT',
    "budgetAdmins": 'BIGINT[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "budgets" AS FROM newest('budgets_lines');

CREATE OR REPLACE VIEW "checkins_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/checkins.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "userId": 'VARCHAR',
    "paymentId": 'BIGINT',
    "eventId": 'BIGINT',
    "checkedinUserId": 'BIGINT',
    "action": 'VARCHAR',
    "method": 'VARCHAR',
    "appId": 'BIGINT',
    "deleted": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "checkins" AS FROM newest('checkins_lines');

CREATE OR REPLACE VIEW "checklist_items_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/checklist_items.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "title": 'VARCHAR',
    "checklistId": 'BIGINT',
    "deleted": 'BOOLEAN',
    "description": 'VARCHAR',
    "optional": 'BOOLEAN',
    "allowStudentToCheck": 'BOOLEAN',
    "deadline": 'DATE',
    "userId": 'BIGINT',
    "parentChecklistItemId": 'BIGINT',
    "completionRule": 'STRUCT("id" BIGINT, "updatedOn" TIMESTAMP, "ruleType" VARCHAR, "conditionType" VARCHAR, "conditionFilter" VARCHAR, "conditionIteration" BIGINT, "hasReflection" BOOLEAN, "reflectionSurveyId" BIGINT, "reflectionRequiresApproval" BOOLEAN, "startDate" DATE, "endDate" DATE, "requireSpecificSubmission" BOOLEAN)',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "checklist_items" AS FROM newest('checklist_items_lines');

CREATE OR REPLACE VIEW "checklists_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/checklists.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "deleted": 'BOOLEAN',
    "startDate": 'DATE',
    "endDate": 'DATE',
    "description": 'VARCHAR',
    "groupId": 'BIGINT',
    "userId": 'BIGINT',
    "archived": 'BOOLEAN',
    "isVisible": 'BOOLEAN',
    "trackId": 'BIGINT',
    "isSequential": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "checklists" AS FROM newest('checklists_lines');

CREATE OR REPLACE VIEW "event_registration_options_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/event_registration_options.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "eventId": 'BIGINT',
    "groupId": 'BIGINT',
    "deleted": 'BOOLEAN',
    "userId": 'BIGINT',
    "description": 'VARCHAR',
    "price": 'DECIMAL(38, 9)',
    "quantityAvailable": 'BIGINT',
    "maxPerOrder": 'BIGINT',
    "minPerOrder": 'BIGINT',
    "endSalesDate": 'TIMESTAMP',
    "startSalesDate": 'TIMESTAMP',
    "refundDeadline": 'DATE',
    "cancellationDeadline": 'DATE',
    "preventCancellation": 'BOOLEAN',
    "itemType": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "taxIncluded": 'BOOLEAN',
    "allowWaitingList": 'BOOLEAN',
    "donation": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "event_registration_options" AS FROM newest('event_registration_options_lines');

CREATE OR REPLACE VIEW "events_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/events.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "type": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "groupId": 'BIGINT',
    "cohostingGroupIds": 'VARCHAR',
    "cohostingGroupNames": 'VARCHAR',
    "startDate": 'TIMESTAMP',
    "endDate": 'TIMESTAMP',
    "timeZone": 'VARCHAR',
    "shortDescription": 'VARCHAR',
    "privacyLevel": 'VARCHAR',
    "whoCanSeeAttendeeList": 'VARCHAR',
    "whoCanSeeEventOnCalendar": 'VARCHAR',
    "locationType": 'VARCHAR',
    "whoCanSeeLocation": 'VARCHAR',
    "approvalStatus": 'VARCHAR',
    "description": 'VARCHAR',
    "locationName": 'VARCHAR',
    "address": 'VARCHAR',
    "telephone": 'VARCHAR',
    "zipcode": 'VARCHAR',
    "city": 'VARCHAR',
    "state": 'VARCHAR',
    "country": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "room": 'VARCHAR',
    "registrationEnabled": 'BOOLEAN',
    "externalRegistrationUrl": 'VARCHAR',
    "registrationOpenDate": 'TIMESTAMP',
    "registrationCloseDate": 'TIMESTAMP',
    "closed": 'BOOLEAN',
    "capacity": 'BIGINT',
    "registrationRedirectUrl": 'VARCHAR',
    "reminderDelay": 'BIGINT',
    "sendReminder": 'BIGINT',
    "reminderMessage": 'VARCHAR',
    "rsvpMessage": 'VARCHAR',
    "feedbackRequest": 'BOOLEAN',
    "allowRsvpAtTheDoor": 'BOOLEAN',
    "parentEventIds": 'VARCHAR',
    "dressCode": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "waiverRequired": 'BOOLEAN',
    "showWaiverAtRegistration": 'BOOLEAN',
    "draft": 'BOOLEAN',
    "deleted": 'BOOLEAN',
    "template": 'BOOLEAN',
    "tags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "adminTags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "customFields": 'STRUCT("answer" VARCHAR, "question" VARCHAR)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "events" AS FROM newest('events_lines');

CREATE OR REPLACE VIEW "feed_posts_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/feed_posts.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "type": 'VARCHAR',
    "typeId": 'BIGINT',
    "content": 'VARCHAR',
    "userId": 'BIGINT',
    "groupId": 'BIGINT',
    "link": 'VARCHAR',
    "deleted": 'BOOLEAN',
    "postType": 'VARCHAR',
    "feedPostPrivacy": 'VARCHAR',
    "channel": 'VARCHAR',
    "attachments": 'VARCHAR',
    "comments": 'STRUCT("id" BIGINT, "createdOn" TIMESTAMP, "updatedOn" TIMESTAMP, "userId" BIGINT, "feedPostId" BIGINT, "content" VARCHAR, "photo" VARCHAR, "attachments" VARCHAR, "deleted" BOOLEAN)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "feed_posts" AS FROM newest('feed_posts_lines');

CREATE OR REPLACE VIEW "groups_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/groups.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "email": 'VARCHAR',
    "acronym": 'VARCHAR',
    "type": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "country": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "mission": 'VARCHAR',
    "goals": 'VARCHAR',
    "membershipBenefits": 'VARCHAR',
    "published": 'BOOLEAN',
    "webSite": 'VARCHAR',
    "logoUrl": 'VARCHAR',
    "externalGroupId": 'VARCHAR',
    "status": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "hideFromGroupsList": 'BOOLEAN',
    "closeMembership": 'BOOLEAN',
    "deactivated": 'BOOLEAN',
    "privateMembership": 'BOOLEAN',
    "paymentGateway": 'VARCHAR',
    "parentGroupId": 'BIGINT',
    "membershipDefaultDuration": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "categoryTags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "adminTags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "membershipOptions": 'STRUCT("name" VARCHAR, "fee" DECIMAL(38, 9), "duration" VARCHAR, "optionNum" BIGINT)[]',
    "customFields": 'STRUCT("answer" VARCHAR, "question" VARCHAR)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "groups" AS FROM newest('groups_lines');

CREATE OR REPLACE VIEW "members_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/members.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "userId": 'BIGINT',
    "groupId": 'BIGINT',
    "member": 'BIGINT',
    "membershipEndDate": 'DATE',
    "officerStatus": 'VARCHAR',
    "officerPosition": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "customPosition": 'VARCHAR',
    "customPositionType": 'VARCHAR',
    "officerRole": 'VARCHAR',
    "source": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "validated": 'BOOLEAN',
    "deleted": 'BOOLEAN',
    "tags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "customFields": 'STRUCT("answer" VARCHAR, "question" VARCHAR)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "members" AS FROM newest('members_lines');

CREATE OR REPLACE VIEW "payments_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/payments.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "type": 'VARCHAR',
    "rsvpId": 'BIGINT',
    "cartItemId": 'BIGINT',
    "amount": 'DECIMAL(38, 9)',
    "quantity": 'DECIMAL(38, 9)',
    "rsvpDuringCheckin": 'BOOLEAN',
    "itemTitle": 'VARCHAR',
    "fee": 'DECIMAL(38, 9)',
    "deleted": 'BOOLEAN',
    "refId": 'BIGINT',
    "refundRequest": 'VARCHAR',
    "refundResponse": 'VARCHAR',
    "refundNeeded": 'BOOLEAN',
    "gatewayAccountNumber": 'VARCHAR',
    "transactionDetails": 'VARCHAR',
    "cartUid": 'VARCHAR',
    "gatewayTransactionId": 'VARCHAR',
    "status": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "paymentMethod": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "payments" AS FROM newest('payments_lines');

CREATE OR REPLACE VIEW "room_reservations_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/room_reservations.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "eventId": 'BIGINT',
    "startDate": 'TIMESTAMP',
    "endDate": 'TIMESTAMP',
    "roomId": 'BIGINT',
    "externalReservationId": 'VARCHAR',
    "status": 'VARCHAR',
    "userId": 'BIGINT',
    "name": 'VARCHAR',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "room_reservations" AS FROM newest('room_reservations_lines');

CREATE OR REPLACE VIEW "rooms_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/rooms.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "description": 'VARCHAR',
    "capacity": 'BIGINT',
    "photoUrl": 'VARCHAR',
    "active": 'BOOLEAN',
    "type": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "building": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "floor": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "rooms" AS FROM newest('rooms_lines');

CREATE OR REPLACE VIEW "rsvp_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/rsvp.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "eventId": 'BIGINT',
    "memberId": 'BIGINT',
    "rsvp": 'VARCHAR',
    "feedbackRating": 'VARCHAR',
    "feedbackComment": 'VARCHAR',
    "waiverChecked": 'BOOLEAN',
    "waiverSignature": 'VARCHAR',
    "hideFromListAttendees": 'BOOLEAN',
    "customFields": 'STRUCT("answer" VARCHAR, "question" VARCHAR)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "rsvp" AS FROM newest('rsvp_lines');

CREATE OR REPLACE VIEW "store_products_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/store_products.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "groupId": 'BIGINT',
    "userId": 'BIGINT',
    "storeId": 'BIGINT',
    "description": 'VARCHAR',
    "price": 'DECIMAL(38, 9)',
    "quantityAvailable": 'BIGINT',
    "maxPerOrder": 'BIGINT',
    "minPerOrder": 'BIGINT',
    "category": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "taxIncluded": 'BOOLEAN',
    "deleted": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "store_products" AS FROM newest('store_products_lines');

CREATE OR REPLACE VIEW "stores_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/stores.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "groupId": 'BIGINT',
    "userId": 'BIGINT',
    "deleted": 'BOOLEAN',
    "published": 'BOOLEAN',
    "instructions": 'VARCHAR',
    "bannerUrl": 'VARCHAR',
    "costCenterCode": 'VARCHAR',
    "glCode": 'BIGINT',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "stores" AS FROM newest('stores_lines');

CREATE OR REPLACE VIEW "survey_submissions_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/survey_submissions.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "deleted": 'BOOLEAN',
    "status": 'VARCHAR',
    "approvedBy": 'BIGINT',
    "approvedOn": 'TIMESTAMP',
    "archived": 'BOOLEAN',
    "draft": 'BOOLEAN',
    "contentType": 'VARCHAR',
    "contentTypeId": 'BIGINT',
    "memberId": 'BIGINT',
    "quizScore": 'BIGINT',
    "userId": 'BIGINT',
    "submittedOn": 'TIMESTAMP',
    "surveyId": 'BIGINT',
    "tags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "responses": 'STRUCT("answers" VARCHAR[], "proposedAnswers" VARCHAR[], "question" VARCHAR, "questionId" VARCHAR, "questionType" VARCHAR)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "survey_submissions" AS FROM newest('survey_submissions_lines');

CREATE OR REPLACE VIEW "surveys_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/surveys.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "description": 'VARCHAR',
    "authorId": 'BIGINT',
    "type": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "workflowTemplateId": 'BIGINT',
    "blockResubmitStatus": 'VARCHAR',
    "mandatoryAudience": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "quizPassScore": 'BIGINT',
    "closed": 'BOOLEAN',
    "openDate": 'TIMESTAMP',
    "closeDate": 'TIMESTAMP',
    "submissionCap": 'BIGINT',
    "loginRequired": 'BOOLEAN',
    "anonymousSubmissions": 'BIGINT',
    "whoCanSubmit": 'VARCHAR',
    "deleted": 'BOOLEAN',
    "groupId": 'BIGINT',
    "archived": 'BOOLEAN',
    "tags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "mandatoryMembersTags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "surveys" AS FROM newest('surveys_lines');

CREATE OR REPLACE VIEW "tags_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/tags.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "name": 'VARCHAR',
    "color": 'VARCHAR',
    "type": 'VARCHAR',
    "adminOnly": 'BIGINT',
    "parentId": 'BIGINT',
    "groupId": 'BIGINT',
    "userId": 'BIGINT',
    "deleted": 'BIGINT',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "tags" AS FROM newest('tags_lines');

CREATE OR REPLACE VIEW "tracks_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/tracks.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "groupId": 'BIGINT',
    "userId": 'BIGINT',
    "name": 'VARCHAR',
    "description": 'VARCHAR',
    "color": 'VARCHAR',
    "iconName": 'VARCHAR',
    "deleted": 'BOOLEAN',
    "archived": 'BOOLEAN',
    "startDate": 'DATE',
    "isVisible": 'BOOLEAN',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "tracks" AS FROM newest('tracks_lines');

CREATE OR REPLACE VIEW "users_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/users.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "firstName": 'VARCHAR',
    "lastName": 'VARCHAR',
    "maidenName": 'VARCHAR',
    "middleInitial": 'VARCHAR',
    "email": 'VARCHAR',
    "otherEmail": 'VARCHAR',
    "alumniEmail": 'VARCHAR',
    "preferredEmail": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "netid": 'VARCHAR',
    "netid2": 'VARCHAR',
    "netid3": 'VARCHAR',
    "swipeid": 'VARCHAR',
    "qrcode": 'VARCHAR',
    "barcode": 'VARCHAR',
    "rfid": 'VARCHAR',
    "externalUid": 'VARCHAR',
    "deactivated": 'BOOLEAN',
    "schoolProgram": 'VARCHAR',
    "degree": 'VARCHAR',
    "companyName": 'VARCHAR',
    "workTitle": 'VARCHAR',
    "accountType": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "monthOfEntry": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "yearOfEntry": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "monthOfGraduation": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "yearOfGraduation": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "gender": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "genderPronouns": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "phoneNumber": 'VARCHAR',
    "mobileNumber": 'VARCHAR',
    "streetAddress": 'VARCHAR',
    "city": 'VARCHAR',
    "state": 'VARCHAR',
    "zipcode": 'VARCHAR',
    "country": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "bio": 'VARCHAR',
    "source": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "isAdmin": 'BOOLEAN',
    "tags": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "personalInterests": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "sportsInterests": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "careerInterests": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "lookingFor": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "languages": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "nationalities": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)[]',
    "customFields": 'STRUCT("answer" VARCHAR, "question" VARCHAR)[]',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "users" AS FROM newest('users_lines');

CREATE OR REPLACE VIEW "work_experiences_lines" AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', 'output/campusgroups/work_experiences.jsonl'], allow_empty = true,
columns = {
    "id": 'BIGINT',
    "updatedOn": 'TIMESTAMP',
    "createdOn": 'TIMESTAMP',
    "userId": 'BIGINT',
    "companyName": 'VARCHAR',
    "industry": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "title": 'VARCHAR',
    "description": 'VARCHAR',
    "startYear": 'BIGINT',
    "startMonth": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "endYear": 'BIGINT',
    "endMonth": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "deleted": 'BOOLEAN',
    "location": 'VARCHAR',
    "department": 'VARCHAR',
    "country": 'STRUCT("id" BIGINT, "name" VARCHAR, "updatedOn" TIMESTAMP)',
    "_extra": 'JSON'
});
CREATE OR REPLACE VIEW "work_experiences" AS FROM newest('work_experiences_lines');
