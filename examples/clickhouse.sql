-- The files of target-jsonl in ClickHouse. Run it in the folder that has `output/`:
--
--     meltano run tap-campusgroups target-jsonl
--     python                          # with `pip install chdb`
--     >>> from chdb.session import Session
--     >>> session = Session()
--     >>> session.query(open("examples/clickhouse.sql").read())
--     >>> session.query("SELECT count() FROM events")
--
-- For each stream, `<stream>` has the newest row of each id, deleted rows included. A stream
-- without a file is empty. Objects and arrays are JSON text, as in the file.
-- What is exact and what is not: docs/readers.md.
--
-- Generated from the schemas by `make generate`; do not edit. For your own catalog or folder:
--     python -m examples.readers.sql clickhouse catalog.json > views.sql

CREATE OR REPLACE VIEW `academic_experiences` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`userId`) AS `userId`, toInt64(`startYear`) AS `startYear`, toInt64(`endYear`) AS `endYear`)
FROM file('output/campusgroups/academic_experiences.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `userId` Nullable(Decimal(38, 0)),
    `university` Nullable(String),
    `studyField` Nullable(String),
    `degree` Nullable(String),
    `activities` Nullable(String),
    `startYear` Nullable(Decimal(38, 0)),
    `endYear` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `location` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `announcement_recipients` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`announcementId`) AS `announcementId`, toInt64(`recipientId`) AS `recipientId`)
FROM file('output/campusgroups/announcement_recipients.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `announcementId` Nullable(Decimal(38, 0)),
    `recipientId` Nullable(Decimal(38, 0)),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `announcements` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`senderId`) AS `senderId`, toInt64(`typeId`) AS `typeId`)
FROM file('output/campusgroups/announcements.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `senderId` Nullable(Decimal(38, 0)),
    `message` Nullable(String),
    `type` Nullable(String),
    `typeId` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `badge_completions` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`badgeId`) AS `badgeId`, toInt64(`userId`) AS `userId`, toInt64(`groupId`) AS `groupId`, toInt64(`count`) AS `count`)
FROM file('output/campusgroups/badge_completions.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `badgeId` Nullable(Decimal(38, 0)),
    `userId` Nullable(Decimal(38, 0)),
    `groupId` Nullable(Decimal(38, 0)),
    `count` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `badges` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`userId`) AS `userId`, toInt64(`groupId`) AS `groupId`, toInt64(`completionRuleId`) AS `completionRuleId`, toInt64(`winLimit`) AS `winLimit`)
FROM file('output/campusgroups/badges.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `description` Nullable(String),
    `userId` Nullable(Decimal(38, 0)),
    `groupId` Nullable(Decimal(38, 0)),
    `private` Nullable(Bool),
    `groupBadge` Nullable(Bool),
    `photoUrl` Nullable(String),
    `completionRuleId` Nullable(Decimal(38, 0)),
    `isLinkedinCertificate` Nullable(Bool),
    `winLimit` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `budget_transactions` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`userId`) AS `userId`, toInt64(`budgetId`) AS `budgetId`, toInt64(`groupId`) AS `groupId`)
FROM file('output/campusgroups/budget_transactions.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `userId` Nullable(Decimal(38, 0)),
    `budgetId` Nullable(Decimal(38, 0)),
    `groupId` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `description` Nullable(String),
    `amountFromAllocation` Nullable(Decimal(38, 9)),
    `amountFromGroupFunds` Nullable(Decimal(38, 9)),
    `paymentMethod` Nullable(String),
    `transactionCategory` Nullable(String),
    `budgetSourceType` Nullable(String),
    `vendorName` Nullable(String),
    `externalTransactionId` Nullable(String),
    `additionalNotes` Nullable(String),
    `fundRequestType` Nullable(String),
    `fundRequestStatus` Nullable(String),
    `referenceNumber` Nullable(String),
    `receipts` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `budgets` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`userId`) AS `userId`, toInt64(`budgetRequestFormId`) AS `budgetRequestFormId`, toInt64(`paymentRequestApprovalFormId`) AS `paymentRequestApprovalFormId`)
FROM file('output/campusgroups/budgets.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `userId` Nullable(Decimal(38, 0)),
    `name` Nullable(String),
    `description` Nullable(String),
    `deleted` Nullable(Bool),
    `totalAllocation` Nullable(Decimal(38, 9)),
    `budgetStatus` Nullable(String),
    `startDate` Nullable(Date32),
    `endDate` Nullable(Date32),
    `budgetRequestFormId` Nullable(Decimal(38, 0)),
    `budgetType` Nullable(String),
    `paymentRequestApprovalFormId` Nullable(Decimal(38, 0)),
    `budgetAdmins` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `checkins` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`paymentId`) AS `paymentId`, toInt64(`eventId`) AS `eventId`, toInt64(`checkedinUserId`) AS `checkedinUserId`, toInt64(`appId`) AS `appId`)
FROM file('output/campusgroups/checkins.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `userId` Nullable(String),
    `paymentId` Nullable(Decimal(38, 0)),
    `eventId` Nullable(Decimal(38, 0)),
    `checkedinUserId` Nullable(Decimal(38, 0)),
    `action` Nullable(String),
    `method` Nullable(String),
    `appId` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `checklist_items` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`checklistId`) AS `checklistId`, toInt64(`userId`) AS `userId`, toInt64(`parentChecklistItemId`) AS `parentChecklistItemId`)
FROM file('output/campusgroups/checklist_items.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `title` Nullable(String),
    `checklistId` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `description` Nullable(String),
    `optional` Nullable(Bool),
    `allowStudentToCheck` Nullable(Bool),
    `deadline` Nullable(Date32),
    `userId` Nullable(Decimal(38, 0)),
    `parentChecklistItemId` Nullable(Decimal(38, 0)),
    `completionRule` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `checklists` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`groupId`) AS `groupId`, toInt64(`userId`) AS `userId`, toInt64(`trackId`) AS `trackId`)
FROM file('output/campusgroups/checklists.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `deleted` Nullable(Bool),
    `startDate` Nullable(Date32),
    `endDate` Nullable(Date32),
    `description` Nullable(String),
    `groupId` Nullable(Decimal(38, 0)),
    `userId` Nullable(Decimal(38, 0)),
    `archived` Nullable(Bool),
    `isVisible` Nullable(Bool),
    `trackId` Nullable(Decimal(38, 0)),
    `isSequential` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `event_registration_options` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`eventId`) AS `eventId`, toInt64(`groupId`) AS `groupId`, toInt64(`userId`) AS `userId`, toInt64(`quantityAvailable`) AS `quantityAvailable`, toInt64(`maxPerOrder`) AS `maxPerOrder`, toInt64(`minPerOrder`) AS `minPerOrder`)
FROM file('output/campusgroups/event_registration_options.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `eventId` Nullable(Decimal(38, 0)),
    `groupId` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `userId` Nullable(Decimal(38, 0)),
    `description` Nullable(String),
    `price` Nullable(Decimal(38, 9)),
    `quantityAvailable` Nullable(Decimal(38, 0)),
    `maxPerOrder` Nullable(Decimal(38, 0)),
    `minPerOrder` Nullable(Decimal(38, 0)),
    `endSalesDate` Nullable(DateTime64(6, 'UTC')),
    `startSalesDate` Nullable(DateTime64(6, 'UTC')),
    `refundDeadline` Nullable(Date32),
    `cancellationDeadline` Nullable(Date32),
    `preventCancellation` Nullable(Bool),
    `itemType` Nullable(String),
    `taxIncluded` Nullable(Bool),
    `allowWaitingList` Nullable(Bool),
    `donation` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `events` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`groupId`) AS `groupId`, toInt64(`capacity`) AS `capacity`, toInt64(`reminderDelay`) AS `reminderDelay`, toInt64(`sendReminder`) AS `sendReminder`)
FROM file('output/campusgroups/events.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `type` Nullable(String),
    `groupId` Nullable(Decimal(38, 0)),
    `cohostingGroupIds` Nullable(String),
    `cohostingGroupNames` Nullable(String),
    `startDate` Nullable(DateTime64(6, 'UTC')),
    `endDate` Nullable(DateTime64(6, 'UTC')),
    `timeZone` Nullable(String),
    `shortDescription` Nullable(String),
    `privacyLevel` Nullable(String),
    `whoCanSeeAttendeeList` Nullable(String),
    `whoCanSeeEventOnCalendar` Nullable(String),
    `locationType` Nullable(String),
    `whoCanSeeLocation` Nullable(String),
    `approvalStatus` Nullable(String),
    `description` Nullable(String),
    `locationName` Nullable(String),
    `address` Nullable(String),
    `telephone` Nullable(String),
    `zipcode` Nullable(String),
    `city` Nullable(String),
    `state` Nullable(String),
    `country` Nullable(String),
    `room` Nullable(String),
    `registrationEnabled` Nullable(Bool),
    `externalRegistrationUrl` Nullable(String),
    `registrationOpenDate` Nullable(DateTime64(6, 'UTC')),
    `registrationCloseDate` Nullable(DateTime64(6, 'UTC')),
    `closed` Nullable(Bool),
    `capacity` Nullable(Decimal(38, 0)),
    `registrationRedirectUrl` Nullable(String),
    `reminderDelay` Nullable(Decimal(38, 0)),
    `sendReminder` Nullable(Decimal(38, 0)),
    `reminderMessage` Nullable(String),
    `rsvpMessage` Nullable(String),
    `feedbackRequest` Nullable(Bool),
    `allowRsvpAtTheDoor` Nullable(Bool),
    `parentEventIds` Nullable(String),
    `dressCode` Nullable(String),
    `waiverRequired` Nullable(Bool),
    `showWaiverAtRegistration` Nullable(Bool),
    `draft` Nullable(Bool),
    `deleted` Nullable(Bool),
    `template` Nullable(Bool),
    `tags` Nullable(String),
    `adminTags` Nullable(String),
    `customFields` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `feed_posts` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`typeId`) AS `typeId`, toInt64(`userId`) AS `userId`, toInt64(`groupId`) AS `groupId`)
FROM file('output/campusgroups/feed_posts.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `type` Nullable(String),
    `typeId` Nullable(Decimal(38, 0)),
    `content` Nullable(String),
    `userId` Nullable(Decimal(38, 0)),
    `groupId` Nullable(Decimal(38, 0)),
    `link` Nullable(String),
    `deleted` Nullable(Bool),
    `postType` Nullable(String),
    `feedPostPrivacy` Nullable(String),
    `channel` Nullable(String),
    `attachments` Nullable(String),
    `comments` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `groups` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`parentGroupId`) AS `parentGroupId`)
FROM file('output/campusgroups/groups.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `email` Nullable(String),
    `acronym` Nullable(String),
    `type` Nullable(String),
    `country` Nullable(String),
    `mission` Nullable(String),
    `goals` Nullable(String),
    `membershipBenefits` Nullable(String),
    `published` Nullable(Bool),
    `webSite` Nullable(String),
    `logoUrl` Nullable(String),
    `externalGroupId` Nullable(String),
    `status` Nullable(String),
    `hideFromGroupsList` Nullable(Bool),
    `closeMembership` Nullable(Bool),
    `deactivated` Nullable(Bool),
    `privateMembership` Nullable(Bool),
    `paymentGateway` Nullable(String),
    `parentGroupId` Nullable(Decimal(38, 0)),
    `membershipDefaultDuration` Nullable(String),
    `categoryTags` Nullable(String),
    `adminTags` Nullable(String),
    `membershipOptions` Nullable(String),
    `customFields` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `members` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`userId`) AS `userId`, toInt64(`groupId`) AS `groupId`, toInt64(`member`) AS `member`)
FROM file('output/campusgroups/members.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `userId` Nullable(Decimal(38, 0)),
    `groupId` Nullable(Decimal(38, 0)),
    `member` Nullable(Decimal(38, 0)),
    `membershipEndDate` Nullable(Date32),
    `officerStatus` Nullable(String),
    `officerPosition` Nullable(String),
    `customPosition` Nullable(String),
    `customPositionType` Nullable(String),
    `officerRole` Nullable(String),
    `source` Nullable(String),
    `validated` Nullable(Bool),
    `deleted` Nullable(Bool),
    `tags` Nullable(String),
    `customFields` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `payments` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`rsvpId`) AS `rsvpId`, toInt64(`cartItemId`) AS `cartItemId`, toInt64(`refId`) AS `refId`)
FROM file('output/campusgroups/payments.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `type` Nullable(String),
    `rsvpId` Nullable(Decimal(38, 0)),
    `cartItemId` Nullable(Decimal(38, 0)),
    `amount` Nullable(Decimal(38, 9)),
    `quantity` Nullable(Decimal(38, 9)),
    `rsvpDuringCheckin` Nullable(Bool),
    `itemTitle` Nullable(String),
    `fee` Nullable(Decimal(38, 9)),
    `deleted` Nullable(Bool),
    `refId` Nullable(Decimal(38, 0)),
    `refundRequest` Nullable(String),
    `refundResponse` Nullable(String),
    `refundNeeded` Nullable(Bool),
    `gatewayAccountNumber` Nullable(String),
    `transactionDetails` Nullable(String),
    `cartUid` Nullable(String),
    `gatewayTransactionId` Nullable(String),
    `status` Nullable(String),
    `paymentMethod` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `room_reservations` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`eventId`) AS `eventId`, toInt64(`roomId`) AS `roomId`, toInt64(`userId`) AS `userId`)
FROM file('output/campusgroups/room_reservations.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `eventId` Nullable(Decimal(38, 0)),
    `startDate` Nullable(DateTime64(6, 'UTC')),
    `endDate` Nullable(DateTime64(6, 'UTC')),
    `roomId` Nullable(Decimal(38, 0)),
    `externalReservationId` Nullable(String),
    `status` Nullable(String),
    `userId` Nullable(Decimal(38, 0)),
    `name` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `rooms` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`capacity`) AS `capacity`)
FROM file('output/campusgroups/rooms.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `description` Nullable(String),
    `capacity` Nullable(Decimal(38, 0)),
    `photoUrl` Nullable(String),
    `active` Nullable(Bool),
    `type` Nullable(String),
    `building` Nullable(String),
    `floor` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `rsvp` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`eventId`) AS `eventId`, toInt64(`memberId`) AS `memberId`)
FROM file('output/campusgroups/rsvp.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `eventId` Nullable(Decimal(38, 0)),
    `memberId` Nullable(Decimal(38, 0)),
    `rsvp` Nullable(String),
    `feedbackRating` Nullable(String),
    `feedbackComment` Nullable(String),
    `waiverChecked` Nullable(Bool),
    `waiverSignature` Nullable(String),
    `hideFromListAttendees` Nullable(Bool),
    `customFields` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `store_products` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`groupId`) AS `groupId`, toInt64(`userId`) AS `userId`, toInt64(`storeId`) AS `storeId`, toInt64(`quantityAvailable`) AS `quantityAvailable`, toInt64(`maxPerOrder`) AS `maxPerOrder`, toInt64(`minPerOrder`) AS `minPerOrder`)
FROM file('output/campusgroups/store_products.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `groupId` Nullable(Decimal(38, 0)),
    `userId` Nullable(Decimal(38, 0)),
    `storeId` Nullable(Decimal(38, 0)),
    `description` Nullable(String),
    `price` Nullable(Decimal(38, 9)),
    `quantityAvailable` Nullable(Decimal(38, 0)),
    `maxPerOrder` Nullable(Decimal(38, 0)),
    `minPerOrder` Nullable(Decimal(38, 0)),
    `category` Nullable(String),
    `taxIncluded` Nullable(Bool),
    `deleted` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `stores` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`groupId`) AS `groupId`, toInt64(`userId`) AS `userId`, toInt64(`glCode`) AS `glCode`)
FROM file('output/campusgroups/stores.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `groupId` Nullable(Decimal(38, 0)),
    `userId` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Bool),
    `published` Nullable(Bool),
    `instructions` Nullable(String),
    `bannerUrl` Nullable(String),
    `costCenterCode` Nullable(String),
    `glCode` Nullable(Decimal(38, 0)),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `survey_submissions` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`approvedBy`) AS `approvedBy`, toInt64(`contentTypeId`) AS `contentTypeId`, toInt64(`memberId`) AS `memberId`, toInt64(`quizScore`) AS `quizScore`, toInt64(`userId`) AS `userId`, toInt64(`surveyId`) AS `surveyId`)
FROM file('output/campusgroups/survey_submissions.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `deleted` Nullable(Bool),
    `status` Nullable(String),
    `approvedBy` Nullable(Decimal(38, 0)),
    `approvedOn` Nullable(DateTime64(6, 'UTC')),
    `archived` Nullable(Bool),
    `draft` Nullable(Bool),
    `contentType` Nullable(String),
    `contentTypeId` Nullable(Decimal(38, 0)),
    `memberId` Nullable(Decimal(38, 0)),
    `quizScore` Nullable(Decimal(38, 0)),
    `userId` Nullable(Decimal(38, 0)),
    `submittedOn` Nullable(DateTime64(6, 'UTC')),
    `surveyId` Nullable(Decimal(38, 0)),
    `tags` Nullable(String),
    `responses` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `surveys` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`authorId`) AS `authorId`, toInt64(`workflowTemplateId`) AS `workflowTemplateId`, toInt64(`quizPassScore`) AS `quizPassScore`, toInt64(`submissionCap`) AS `submissionCap`, toInt64(`anonymousSubmissions`) AS `anonymousSubmissions`, toInt64(`groupId`) AS `groupId`)
FROM file('output/campusgroups/surveys.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `description` Nullable(String),
    `authorId` Nullable(Decimal(38, 0)),
    `type` Nullable(String),
    `workflowTemplateId` Nullable(Decimal(38, 0)),
    `blockResubmitStatus` Nullable(String),
    `mandatoryAudience` Nullable(String),
    `quizPassScore` Nullable(Decimal(38, 0)),
    `closed` Nullable(Bool),
    `openDate` Nullable(DateTime64(6, 'UTC')),
    `closeDate` Nullable(DateTime64(6, 'UTC')),
    `submissionCap` Nullable(Decimal(38, 0)),
    `loginRequired` Nullable(Bool),
    `anonymousSubmissions` Nullable(Decimal(38, 0)),
    `whoCanSubmit` Nullable(String),
    `deleted` Nullable(Bool),
    `groupId` Nullable(Decimal(38, 0)),
    `archived` Nullable(Bool),
    `tags` Nullable(String),
    `mandatoryMembersTags` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `tags` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`adminOnly`) AS `adminOnly`, toInt64(`parentId`) AS `parentId`, toInt64(`groupId`) AS `groupId`, toInt64(`userId`) AS `userId`, toInt64(`deleted`) AS `deleted`)
FROM file('output/campusgroups/tags.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `name` Nullable(String),
    `color` Nullable(String),
    `type` Nullable(String),
    `adminOnly` Nullable(Decimal(38, 0)),
    `parentId` Nullable(Decimal(38, 0)),
    `groupId` Nullable(Decimal(38, 0)),
    `userId` Nullable(Decimal(38, 0)),
    `deleted` Nullable(Decimal(38, 0)),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `tracks` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`groupId`) AS `groupId`, toInt64(`userId`) AS `userId`)
FROM file('output/campusgroups/tracks.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `groupId` Nullable(Decimal(38, 0)),
    `userId` Nullable(Decimal(38, 0)),
    `name` Nullable(String),
    `description` Nullable(String),
    `color` Nullable(String),
    `iconName` Nullable(String),
    `deleted` Nullable(Bool),
    `archived` Nullable(Bool),
    `startDate` Nullable(Date32),
    `isVisible` Nullable(Bool),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `users` AS
SELECT * REPLACE (toInt64(`id`) AS `id`)
FROM file('output/campusgroups/users.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `firstName` Nullable(String),
    `lastName` Nullable(String),
    `maidenName` Nullable(String),
    `middleInitial` Nullable(String),
    `email` Nullable(String),
    `otherEmail` Nullable(String),
    `alumniEmail` Nullable(String),
    `preferredEmail` Nullable(String),
    `netid` Nullable(String),
    `netid2` Nullable(String),
    `netid3` Nullable(String),
    `swipeid` Nullable(String),
    `qrcode` Nullable(String),
    `barcode` Nullable(String),
    `rfid` Nullable(String),
    `externalUid` Nullable(String),
    `deactivated` Nullable(Bool),
    `schoolProgram` Nullable(String),
    `degree` Nullable(String),
    `companyName` Nullable(String),
    `workTitle` Nullable(String),
    `accountType` Nullable(String),
    `monthOfEntry` Nullable(String),
    `yearOfEntry` Nullable(String),
    `monthOfGraduation` Nullable(String),
    `yearOfGraduation` Nullable(String),
    `gender` Nullable(String),
    `genderPronouns` Nullable(String),
    `phoneNumber` Nullable(String),
    `mobileNumber` Nullable(String),
    `streetAddress` Nullable(String),
    `city` Nullable(String),
    `state` Nullable(String),
    `zipcode` Nullable(String),
    `country` Nullable(String),
    `bio` Nullable(String),
    `source` Nullable(String),
    `isAdmin` Nullable(Bool),
    `tags` Nullable(String),
    `personalInterests` Nullable(String),
    `sportsInterests` Nullable(String),
    `careerInterests` Nullable(String),
    `lookingFor` Nullable(String),
    `languages` Nullable(String),
    `nationalities` Nullable(String),
    `customFields` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;

CREATE OR REPLACE VIEW `work_experiences` AS
SELECT * REPLACE (toInt64(`id`) AS `id`, toInt64(`userId`) AS `userId`, toInt64(`startYear`) AS `startYear`, toInt64(`endYear`) AS `endYear`)
FROM file('output/campusgroups/work_experiences.jsonl', 'JSONEachRow', $columns$
    `id` Nullable(Decimal(38, 0)),
    `updatedOn` Nullable(DateTime64(6, 'UTC')),
    `createdOn` Nullable(DateTime64(6, 'UTC')),
    `userId` Nullable(Decimal(38, 0)),
    `companyName` Nullable(String),
    `industry` Nullable(String),
    `title` Nullable(String),
    `description` Nullable(String),
    `startYear` Nullable(Decimal(38, 0)),
    `startMonth` Nullable(String),
    `endYear` Nullable(Decimal(38, 0)),
    `endMonth` Nullable(String),
    `deleted` Nullable(Bool),
    `location` Nullable(String),
    `department` Nullable(String),
    `country` Nullable(String),
    `_extra` Nullable(String)
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;
