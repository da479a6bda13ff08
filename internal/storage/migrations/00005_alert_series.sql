-- +goose Up

-- The alerts of a series are looked for by the beginning of its id. Revision 0, and an alert that is part of no series, is found by its own.
CREATE INDEX alerts_series ON ironpost.alerts ((coalesce(series, id)));
