package sbomscanner

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

func TestFolderThatChangesAllTheTimeRests(t *testing.T) {
	t.Parallel()
	log := logrus.New()
	log.SetOutput(io.Discard)
	all, _, err := finding.OpenInventories(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, all.Close()) })
	s := &Service{cfg: DefaultConfig(), log: log, reasons: health.New(Name, "h")}
	l := &loop{
		s: s, inventories: all, retries: newRetries(), worker: &worker{jobs: make(chan inventory.Asset, 1)}, changed: map[string]inventory.Asset{},
		rest: map[string]time.Time{}, firstLeft: map[string]bool{}, scanFailures: failures{}, unread: failures{},
	}
	a := inventory.Asset{Kind: inventory.Directory, Name: "/srv"}
	l.scan(a)
	l.dispatch()
	require.Equal(t, a.Key(), l.scanning)
	l.changed[a.Key()] = a
	l.scanChanged(time.Now())
	require.Empty(t, l.queue.waiting, "it is being scanned")
	l.began = time.Now().Add(-time.Minute)
	l.scanned(context.Background(), scanResult{asset: a, err: io.ErrUnexpectedEOF})
	l.scanChanged(time.Now().Add(3 * time.Minute))
	require.Empty(t, l.queue.waiting, "it rests")
	l.scanChanged(time.Now().Add(5 * time.Minute))
	require.Len(t, l.queue.waiting, 1)
	require.Empty(t, l.changed)
}
