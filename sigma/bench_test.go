package sigma_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/sigma"
)

// BenchmarkMatch matches one event against all public rules.
func BenchmarkMatch(b *testing.B) {
	testenv.Data(b, "sigma/rules")
	usable, _ := compilable(b, publicRules(b))
	rs, err := sigma.Compile(usable, sigma.Options{})
	require.NoError(b, err)
	for name, ev := range map[string]sigma.Event{
		"sshd": {Logsource: sigma.Logsource{Product: "linux", Service: "sshd"}, Fields: sigma.FieldsOf(fields{
			"message": "Failed password for invalid user bob from 192.0.2.1 port 1234 ssh2", "process": "sshd", "pid": int64(77),
			"host": "web1", "action": "login_failed", "user": "bob", "src_ip": "192.0.2.1", "src_port": int64(1234),
			"raw": "Nov 23 10:00:00 web1 sshd[77]: Failed password for invalid user bob from 192.0.2.1 port 1234 ssh2",
		})},
		"web": {Logsource: sigma.Logsource{Category: "webserver"}, Fields: sigma.FieldsOf(fields{
			"c-ip": "192.0.2.1", "cs-method": "GET", "cs-uri": "/index.php?page=2", "cs-uri-stem": "/index.php", "cs-uri-query": "page=2",
			"sc-status": int64(200), "c-useragent": "Mozilla/5.0", "message": `192.0.2.1 - - "GET /index.php?page=2 HTTP/1.1" 200 512`,
		})},
		"exec": {Logsource: sigma.Logsource{Product: "linux", Category: "process_creation"}, Fields: sigma.FieldsOf(fields{
			"Image": "/usr/bin/python3", "CommandLine": "python3 /opt/backup/run.py --full --target /srv", "ParentImage": "/usr/sbin/cron", "User": "root",
		})},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rs.Match(ev)
			}
		})
	}
}

// BenchmarkMatchLength shows that time is linear in the length of the value: ns/B
// is the same for every length.
func BenchmarkMatchLength(b *testing.B) {
	for _, entry := range []string{"a|contains: needle", "'a': '*a?b*c?d*'", "a|re: '(a|b)*c'", "a|windash|contains: ' -x'"} {
		for n := 1 << 10; n <= 1<<14; n *= 2 {
			rs := compile(b, rule("  s:\n    "+entry+"\n  condition: s\n"), sigma.Options{})
			ev := sigma.Event{Fields: sigma.FieldsOf(fields{"a": strings.Repeat("ab ", n/3)})}
			b.Run(fmt.Sprintf("%s/%d", entry, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					rs.Match(ev)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/B")
			})
		}
	}
}

// BenchmarkObserve counts one event in a window that holds 5,000.
func BenchmarkObserve(b *testing.B) {
	for name, section := range map[string]string{
		"event_count": strings.Replace(countOfA, "gte: 3", "gte: 9000", 1),
		"value_count": "type: value_count\nrules: [a]\ngroup-by: [ip]\ntimespan: 10s\ncondition: {field: user, gte: 9000}",
		"ordered":     "type: temporal_ordered\nrules: [a, b]\ngroup-by: [ip]\ntimespan: 10s",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			rs := compile(b, correlated(section), sigma.Options{})
			c := rs.NewCorrelator()
			ev := step{0, "a/1"}.event()
			matches := rs.Match(ev)
			for i := 0; b.Loop(); i++ {
				ev.Fields.Set("user", sigma.Text(fmt.Sprint(i)))
				ev.Time = ev.Time.Add(2 * time.Millisecond)
				c.Observe(ev, matches)
			}
		})
	}
}
