#!/usr/bin/env bash
# Runs the acceptance tests of one topic, part by part, each at most 40 minutes:
#
#   deploy/dev/accept.sh foundation            all parts that have not passed on this commit
#   deploy/dev/accept.sh foundation kills idle these parts only, also if they passed
#
# The parts of spread are smaller with IRONPOST_TEST_SPREAD_KILLS (100), _RATE (1000 alerts/s), _DOWN (600 s without PostgreSQL), _HOSTS (200)
# and _BLOCKS (10000); those of log-pipeline tcp and udp with IRONPOST_TEST_SYSLOG_SECS (600); hostile-host quiet with IRONPOST_QUIET_FOR (2h); that of hostile-host corruption with IRONPOST_TEST_CORRUPTIONS (1000), and IRONPOST_TEST_SEED repeats it.
#
# A part's output is bin/accept/<commit>/<topic>-<part>.log; an interrupted run goes on with the
# parts that are missing. log-pipeline rotation kills the daemon IRONPOST_TEST_ROTATIONS (1000) times. Prints the commit, and each part's numbers with their bars.
set -euo pipefail
cd "$(dirname "$0")/../.."

# topic part | go test arguments
parts='
foundation kills           | -run TestAccept(EveryLineOnce|Series)OverKills ./e2e
foundation downtime        | -run TestAcceptEveryLineOnce(OverALongDowntime|WithTheClockMoved) ./e2e
foundation actions         | -run TestAccept(Actions|StopUnderLoad) ./e2e
foundation full-disk       | -run TestAccept(DiskFull|FullAlertStream) ./e2e
foundation idle            | -run TestAccept(Idle|StuckSubscriber) ./e2e
foundation reloads         | -run TestAcceptReloads ./e2e
ebpf-engine scans          | -run Test(Scans|ConnectScan|Sweep|Decoys|FastScanners|ScanByNetwork|OutboundScan|SpoofedFlood|Without) ./e2e
ebpf-engine benign         | -run TestBusyClients ./e2e
ebpf-engine slow-scan      | -run TestEngineSlowScan ./e2e
ebpf-engine blocks         | -run Test(Block|EngineBlockDelay) ./e2e
ebpf-engine flood          | -run TestEngineUnderFlood ./e2e
ebpf-engine floods         | -run Test(GREFlood|BurstFlood|CarpetBombing|FloodsOfTwoTargets) ./e2e
ebpf-engine reflection     | -run TestReflectionFromUnlistedPorts ./e2e
ebpf-engine idle           | -run TestEngineIdle ./e2e
ebpf-engine parser         | -run Test(ParserAgreesWithTheModel|CutFrames) ./bpf
ebpf-engine cost           | -run TestCostBesideXDPFilter ./bpf
ebpf-engine protected      | -run TestNoBlocklistDrops ./services/ebpfengine/blocklist
container-guard latency    | -run TestAcceptGuard(Latency|OrderLatency|Burst) ./e2e
container-guard limits     | -run TestAcceptGuard(Caps|Blocks|LineToDrop) ./e2e
container-guard attribution| -run TestAcceptGuardAttribution ./e2e
container-guard hostile    | -run TestAcceptGuardHostile ./e2e
container-guard guessing   | -run TestAcceptGuardGuessing ./e2e
container-guard killed     | -run TestAcceptGuardKilled ./e2e
container-guard rounds     | -run TestAcceptGuardRounds ./e2e
container-guard undone     | -run TestAcceptGuardUndone ./e2e
storage write              | -run TestAcceptWrite ./internal/storage
storage filters            | -run TestAcceptFilters ./internal/storage
storage text               | -run TestAcceptText ./internal/storage
storage killed             | -run TestAccept(Postgres|Collector)Killed ./services/actioncollector/postgres
storage down               | -run TestAcceptPostgresDown ./services/actioncollector/postgres
storage upgrade            | -run TestAcceptUpgrade ./e2e
spread hub-killed          | -run TestAcceptSpreadHubKilled ./e2e
spread pipeline-killed     | -run TestAcceptSpreadPipelineKilled ./e2e
spread guard-killed        | -run TestAcceptSpreadGuardKilled ./e2e
spread collector-killed    | -run TestAcceptSpreadCollectorKilled ./e2e
spread engine-killed       | -run TestAcceptSpreadEngineKilled ./e2e
spread scanner-killed      | -run TestAcceptSpreadScannerKilled ./e2e
spread link-cut            | -run TestAcceptSpreadLinkCut ./e2e
spread hub-restarted       | -run TestAcceptSpreadHubRestarted ./e2e
spread postgres-killed     | -run TestAcceptSpreadPostgresKilled ./e2e
spread postgres-down       | -run TestAcceptSpreadPostgresDown ./e2e
spread disk-full           | -run TestAcceptSpreadDiskFull ./e2e
spread cluster             | -run Test(ExternalClusterOverKills|AcceptSpreadClusterNodeLost) ./e2e
spread limits              | -run TestAcceptSpreadLimits ./e2e
sbom-scanner rescans       | -run TestAcceptSBOMRescans ./e2e
sbom-scanner kills         | -run TestAcceptSBOMKills ./e2e
sbom-scanner bus           | -run TestAcceptSBOMBusDown ./e2e
packages install           | -run TestAccept(Install|RPM) ./deploy/packages
packages boot              | -run TestAcceptBoot ./deploy/packages
packages upgrade           | -run TestAcceptUpgradeOrder ./deploy/packages
sbom-scanner update        | -run TestAcceptSBOMDatabaseUpdate ./e2e
spread edge-link-cut       | -run TestAcceptSpreadEdgeLinkCut ./e2e
hostile container-flood    | -run TestAcceptHostileContainerFlood ./e2e
hostile tcp-flood          | -run TestAcceptHostileTCPFlood ./e2e
hostile syslog             | -run TestAcceptHostileSyslog ./e2e
hostile groups             | -run TestAcceptHostile(Groups|Window|Network) ./e2e
hostile connections        | -run TestAcceptHostile(Connections|Flood) ./e2e
hostile servers            | -run TestAcceptHostileServers ./e2e
hostile requests           | -run TestAcceptHostileRequests ./e2e
hostile caps               | -run TestAcceptHostileCaps ./e2e
hostile list               | -run TestAcceptHostileList ./e2e
hostile labels             | -run TestAcceptHostileLabels ./e2e
hostile compromise         | -run TestAcceptHostileCompromise ./e2e
hostile brute-force        | -run TestAcceptHostileBruteForce ./e2e
spread edge-killed         | -run TestAcceptSpreadEdgeKilled ./e2e
log-pipeline rotation      | -timeout 6h -run TestAcceptRotationsOverKills ./e2e
log-pipeline files         | -run TestAcceptTenThousandFiles ./e2e
log-pipeline journal       | -run TestAcceptJournal ./services/logpipeline/journal ./e2e
log-pipeline tcp           | -run TestAcceptSyslogTCP ./services/logpipeline
log-pipeline udp           | -run TestAcceptSyslogUDP ./services/logpipeline
log-pipeline rate          | -run TestAcceptLineRate ./e2e
hostile-host observer      | -run TestAcceptHostileHostObserver ./e2e
hostile-host lock          | -run TestAcceptHostileHostLock ./e2e
hostile-host corruption    | -run TestAcceptHostileHostCorruption ./e2e
hostile-host owners        | -run TestAcceptHostileHostOwners ./e2e
hostile-host watched       | -run TestAcceptHostileHostWatched ./e2e
hostile-host output        | -run TestAcceptHostileHostOutput ./e2e
hostile-host http          | -run TestAcceptHostileHostHTTP ./e2e
hostile-host clock         | -run TestAcceptHostileHostClock ./e2e
hostile-host alerts-read   | -run TestAcceptHostileHostAlertsRead ./e2e
hostile-host memory        | -run TestAcceptHostileHostMemory ./e2e
hostile-host truth         | -run TestAcceptHostileHostTruth ./e2e
hostile-host quiet-day     | -run TestAcceptHostileHostQuietDay ./e2e
hostile-host quiet         | -timeout 3h -run TestAcceptHostileHostQuiet$ ./e2e
'

topic=${1:-}
all=$(sed -n "s/^$topic  *\([a-z-]*\) *|.*/\1/p" <<<"$parts")
if [ -z "$topic" ] || [ -z "$all" ]; then
	echo "usage: accept.sh TOPIC [PART...]; topics and parts:" >&2
	sed -n 's/^\([a-z-]* *[a-z-]*\) *|.*/  \1/p' <<<"$parts" >&2
	exit 2
fi
shift
commit=$(git describe --always --dirty --abbrev=12)
logs=bin/accept/$commit
mkdir -p "$logs"
export IRONPOST_TEST_FUZZ_PACKETS=${IRONPOST_TEST_FUZZ_PACKETS:-10000000}
export IRONPOST_TEST_REQUIRE=${IRONPOST_TEST_REQUIRE:-netns,bpf,tcx,nmap,masscan,zmap,hping3,docker,postgresql,mount,rsyslog,sshd,journald}

failed=0
for part in ${@:-$all}; do
	args=$(sed -n "s/^$topic  *$part *| *//p" <<<"$parts")
	[ -n "$args" ] || { echo "accept.sh: $topic has no part $part; it has: "$all >&2; exit 2; }
	log=$logs/$topic-$part.log
	if [ $# = 0 ] && tail -n 1 "$log" 2>/dev/null | grep -q '^PASS '; then
		echo "== $topic $part: passed before on $commit ($log)"
		continue
	fi
	echo "== $topic $part on $commit"
	began=$SECONDS
	result=FAIL
	# shellcheck disable=SC2086 # args is a list
	if go test -tags accept -count 1 -timeout 40m -v $args >"$log" 2>&1 && grep -q '^--- PASS' "$log"; then
		result=PASS
	else
		failed=1
	fi
	echo "$result $topic $part $commit $((SECONDS - began)) s" >>"$log"
	grep -E '^ *(--- (PASS|FAIL|SKIP)|[a-z0-9_]*_test.go:[0-9]+: .*[0-9])|^(FAIL|panic|no tests)' "$log" | cut -c1-240 | tail -n 60 || true
	tail -n 1 "$log"
done
exit "$failed"
