-- +goose Up

-- The filters of "ironpost actions" that had no index.
CREATE INDEX actions_phase ON ironpost.actions (phase, received_at);
CREATE INDEX actions_kind ON ironpost.actions (kind, received_at);
CREATE INDEX actions_policy ON ironpost.actions (policy, received_at);
