// Package storage keeps records in PostgreSQL: alerts, actions and log lines, each in a table of its
// own in the schema ironpost, partitioned by the day (UTC) on which the bus received them.
//
// A row is the whole record as jsonb, and columns to filter by. Its primary key, the time of receipt
// and the id, follows from the stored message alone, so that a record that is delivered again is
// stored once. Rows are written with COPY; only if a row is there already, through a temporary table
// and ON CONFLICT. A row that PostgreSQL refuses for its content is found by halving the batch and
// handed back to the caller.
//
// Nothing here retries: an *Error says what is wrong with PostgreSQL, and whether waiting may help.
package storage
