//go:build accept && linux

package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

const (
	scanPort    = 20_000                // the first that is probed
	scanPace    = 50 * time.Millisecond // 20 ports a second: no flood
	scanProbes  = 40                    // before the kill at most, and after the engine is back; ebpf.detect.scan_ports is 10
	mostScans   = 150
	blockedHost = "10.92.0.250"
)

func scannerAddress(n int) string { return fmt.Sprintf("10.92.0.%d", n+10) }

// The packet engine is killed in the middle of port scans, each from an address of its own. Each scan is
// one series of alerts, whether it was found before the kill or after it, and no packet of a blocked
// address passes meanwhile.
func TestAcceptSpreadEngineKilled(t *testing.T) {
	r := newSpread(t, func(r *spread) {
		pins := r.path("pins")
		t.Cleanup(func() { _ = unix.Unmount(pins, unix.MNT_DETACH) })
		r.module = bus.EBPFEngine
		r.configuration = fmt.Sprintf("[ebpf]\ninterface = \"wan\"\npin_path = %q\n", pins)
	})
	kills := min(spreadKills(t), mostScans)
	for n := range kills {
		require.NoError(t, command("ip", "addr", "add", scannerAddress(n)+"/32", "dev", r.namespace))
	}
	require.NoError(t, command("ip", "addr", "add", blockedHost+"/32", "dev", r.namespace))
	block(t, r.blocklist(), blockedHost, time.Hour) // as the guard of another host does: here it is an own address
	r.eventually(func() bool { return isTimeout(probe(blockedHost, scanPort)) })
	for n := range kills {
		r.scanOverKill(scannerAddress(n))
	}
	r.logKills(r.further)
	unblock(t, r.blocklist(), blockedHost) // the hub, which has no engine, is degraded by a block
	r.finish("packet engine killed")
	const scans = "FROM ironpost.alerts WHERE rule_title = 'Port Scan' AND COALESCE((record->>'revision')::int, 0) = 0 AND NOT COALESCE((record->>'update')::bool, false)"
	require.Eventually(t, func() bool { return r.count("SELECT count(DISTINCT source) "+scans) >= kills }, settleTime, time.Second, "scans are missing")
	found, rows := r.count("SELECT count(DISTINCT source) "+scans), r.count("SELECT count(*) "+scans)
	t.Logf("%d scans over a kill, %d found: lost %d (bar 0), doubled %d (bar 0); 1 address blocked, connections of it that passed 0 (bar 0)", kills, found, kills-found, rows-found)
	require.Equal(t, []int{kills, kills}, []int{found, rows})
}

// scanOverKill probes ports from source; the engine is killed meanwhile.
func (r *spread) scanOverKill(source string) {
	r.t.Helper()
	before, kill := r.further.readies(), rand.N(scanProbes)
	for n, left := 0, scanProbes; left > 0; n++ {
		if n == kill {
			r.further.signal(syscall.SIGKILL)
			require.True(r.t, isTimeout(probe(blockedHost, scanPort)), "a packet of a blocked address passed")
		}
		if n > kill && r.further.readies() > before {
			left--
		}
		require.ErrorIs(r.t, probe(source, scanPort+n), syscall.ECONNREFUSED)
		time.Sleep(scanPace)
	}
}

// probe tries to connect from source to a closed port of spreadHost.
func probe(source string, port int) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: time.Second}
	conn, err := dialer.Dial("tcp4", net.JoinHostPort(spreadFar, strconv.Itoa(port)))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// The scanner is killed while what it scans and the advisories grow. Each vulnerability is reported once.
func TestAcceptSpreadScannerKilled(t *testing.T) {
	w := newSBOMWorld(t)
	r := newSpread(t, func(r *spread) {
		r.module = bus.SBOMScanner
		r.configuration = fmt.Sprintf("[sbom]\nscan_dirs = [%q]\nvuln_db_url = \"\"\nvuln_db_path = %q\n", w.app, w.db)
	})
	for n := range spreadKills(t) {
		before := r.further.readies()
		w.grow(n)
		time.Sleep(rand.N(2 * time.Second)) // any moment of what follows a change
		r.further.signal(syscall.SIGKILL)
		r.further.awaitReady(before)
	}
	r.logKills(r.further)
	r.finish("scanner killed")
	w.awaitIdle(func() event.ModuleHealth { return r.moduleOn(bus.SBOMScanner, spreadHost) })
	const alerts = "FROM ironpost.alerts WHERE module = '" + bus.SBOMScanner + "'"
	require.Eventually(t, func() bool {
		return r.count("SELECT count(DISTINCT record->'vulnerability'->>'id') "+alerts+" AND rule = 'sbom_vulnerability'") >= len(w.advisories) &&
			r.count("SELECT COALESCE(sum(jsonb_array_length(record->'findings')), 0) "+alerts+" AND rule = 'sbom_new_findings'") >= len(w.advisories)
	}, settleTime, time.Second, "findings are missing")
	var stored []event.Alert
	for line := range strings.Lines(r.postgres.Exec(t, "ironpost", "SELECT record::text "+alerts)) {
		var a event.Alert
		require.NoError(t, event.Decode([]byte(line), &a))
		stored = append(stored, a)
	}
	w.requireEachOnce(stored)
}
