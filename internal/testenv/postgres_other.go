//go:build !linux

package testenv

import (
	"errors"
	"testing"
)

// Postgres is a private PostgreSQL server. It needs Linux.
type Postgres struct{ Addr, Dir string }

// PostgreSQL skips the test.
func PostgreSQL(t testing.TB, _ ...string) *Postgres {
	t.Helper()
	Require(t, "postgresql", errors.New("a private PostgreSQL needs Linux"))
	return nil
}

// Own does nothing.
func (p *Postgres) Own(testing.TB, string) {}

// Start does nothing.
func (p *Postgres) Start(testing.TB) {}

// Kill does nothing.
func (p *Postgres) Kill(testing.TB) {}

// Stop does nothing.
func (p *Postgres) Stop(testing.TB) {}

// URL returns nothing.
func (p *Postgres) URL(string) string { return "" }

// UserURL returns nothing.
func (p *Postgres) UserURL(_, _, _ string) string { return "" }

// Exec returns nothing.
func (p *Postgres) Exec(testing.TB, string, string) string { return "" }

// Environment returns nothing.
func (p *Postgres) Environment() []string { return nil }
