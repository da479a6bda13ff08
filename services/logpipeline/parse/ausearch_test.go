package parse_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// testdata/joined/kernel.log holds records that Linux 6.18 made of a program that starts others, with long and odd arguments, changes files and
// opens connections, as auditd 3.0.9 wrote them with log_format = ENRICHED.
const kernelLog = "testdata/joined/kernel.log"

// enrichment is what auditd adds to a record with log_format = ENRICHED.
var enrichment = regexp.MustCompile(`\x1d[^\n]*`)

// auditLogs returns files of audit.log with enriched records, the same ones without, and those of the samples.
func auditLogs(t *testing.T) map[string]string {
	t.Helper()
	kernel, err := os.ReadFile(kernelLog)
	require.NoError(t, err)
	var samples strings.Builder
	for _, line := range sampleLines(t) {
		if strings.HasPrefix(line, "type=") || strings.HasPrefix(line, "node=") {
			samples.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	out := map[string]string{}
	for name, text := range map[string]string{"enriched": string(kernel), "raw": enrichment.ReplaceAllString(string(kernel), ""), "samples": samples.String()} {
		out[name] = filepath.Join(t.TempDir(), "audit.log")
		require.NoError(t, os.WriteFile(out[name], []byte(text), 0o600))
	}
	return out
}

func ausearch(t *testing.T, arguments ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("ausearch")
	testenv.Require(t, "auditd", err)
	command := exec.Command(path, arguments...)
	command.Env = []string{"LC_ALL=C", "TZ=UTC"}
	command.Stdin = bytes.NewReader(nil)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	require.NoError(t, err, problems.String())
	return out
}

// Every field of every record has the value that ausearch, of the audit package, interprets it as.
func TestAuditFieldsAreThoseOfAusearch(t *testing.T) {
	t.Parallel()
	for name, path := range auditLogs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			want := interpreted(string(ausearch(t, "-i", "--escape", "raw", "-if", path)))
			compared := 0
			for line := range strings.Lines(string(text)) {
				ev := read(strings.TrimSuffix(line, "\n"))
				require.NotNil(t, ev.Audit, "no record: %s", line)
				key := identity(line)
				if name == "samples" && len(want[key]) == 0 {
					continue // of records without the fields that ausearch demands
				}
				require.NotEmpty(t, want[key], "ausearch has no such record: %s", line)
				compared += compareRecord(t, &ev, want[key][0])
				want[key] = want[key][1:]
			}
			require.GreaterOrEqual(t, compared, map[string]int{"enriched": 1800, "raw": 1800, "samples": 60}[name])
			t.Log("fields compared:", compared)
		})
	}
}

var recordHead = regexp.MustCompile(`(?m)^(?:node=\S+ )?type=(\S+) msg=audit\((?:\S+ )?[^ )]*:(\d+)\) ?: ?`)

// identity returns the type and the serial of a record.
func identity(line string) string {
	m := recordHead.FindStringSubmatch(line)
	return m[1] + " " + m[2]
}

// interpreted returns the texts of the records in what ausearch wrote, by their identities, in the order of the log: it writes the records of an
// event from the last to the first.
func interpreted(out string) map[string][]string {
	texts := map[string][]string{}
	for event := range strings.SplitSeq(out, "----\n") {
		heads := recordHead.FindAllStringSubmatchIndex(event, -1)
		for i, head := range slices.Backward(heads) {
			end := len(event)
			if i+1 < len(heads) {
				end = heads[i+1][0]
			}
			key := event[head[2]:head[3]] + " " + event[head[4]:head[5]]
			texts[key] = append(texts[key], " "+strings.TrimSuffix(event[head[1]:end], "\n"))
		}
	}
	return texts
}

// written makes the quotation marks of a program's message blanks, and an IPv4 address that is mapped into IPv6 itself.
var written = strings.NewReplacer("msg='", " ", "'", " ", "laddr=::ffff:", "laddr=")

// compareRecord compares the fields of ev, one record, with text, as ausearch writes it, and returns how many there are.
func compareRecord(t *testing.T, ev *parse.Event, text string) (compared int) {
	t.Helper()
	fields := ev.Fields.Map()
	for _, f := range ev.Audit.Fields {
		if f.Name == strings.ToUpper(f.Name) {
			continue // compared with the field that it interprets
		}
		want := socketText(fields)
		switch name := strings.ToUpper(f.Name); {
		case f.Name == "saddr":
		case f.Name == "arch" && ev.Audit.Type == "SYSCALL", f.Name == "syscall":
			want = fields[name].(string)
		case isInterpreted(ev.Audit, f.Name):
			continue
		case ev.Audit.Get(name) != "":
			want = ev.Audit.Get(name)
		case strings.HasSuffix(f.Name, "uid"):
			want = accountName(f.Value)
		case strings.HasSuffix(f.Name, "gid"):
			want = groupName(f.Value)
		default:
			want = f.Value
		}
		if f.Name == "key" {
			want = strings.ReplaceAll(want, "\x01", " key=") // ausearch writes each of several
		}
		require.Contains(t, written.Replace(text)+" ", " "+f.Name+"="+want, "%s %s", ev.Audit.Type, f.Name)
		compared++
	}
	return compared
}

// isInterpreted reports whether ausearch writes a field as something that Sigma's rules do not have: the bits of a mode, the names of errors,
// capabilities and flags.
func isInterpreted(r *audit.Record, name string) bool {
	if r.Type == "SYSCALL" && len(name) == 2 && name[0] == 'a' {
		return true
	}
	if r.Type == "AVC" && name == "dev" { // it leaves the quotation marks
		return true
	}
	return strings.HasPrefix(name, "cap_") || slices.Contains([]string{
		"mode", "exit", "old-auid", "res", "per", "ses", "old-ses", "data", "requested_mask", "argc",
	}, name)
}

// socketText returns an address as ausearch writes it. That has no sign that a name is of the abstract namespace, as "@" is in the fields.
func socketText(fields map[string]any) string {
	text := fmt.Sprintf("{ saddr_fam=%v", fields["saddr_fam"])
	switch path, peer := fields["path"], fields["laddr"]; {
	case path != nil:
		text += " path=" + strings.TrimPrefix(path.(string), "@")
	case peer != nil:
		text += fmt.Sprintf(" laddr=%v lport=%v", peer, fields["lport"])
	default:
		return text // of another family
	}
	return text + " }"
}

// accountName and groupName return the name that this machine has for an id, as ausearch finds it for a record that is not enriched.
func accountName(id string) string {
	if a, err := user.LookupId(id); err == nil {
		return a.Username
	}
	return unknownName(id)
}

func groupName(id string) string {
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return unknownName(id)
}

func unknownName(id string) string {
	if id == "4294967295" {
		return "unset"
	}
	return "unknown(" + id + ")"
}

// The events that records are joined to say what ausearch says of them: who, what, and the file or the address.
func TestJoinedEventsAreThoseOfAusearch(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(bytes.NewReader(ausearch(t, "--format", "csv", "-if", kernelLog))).ReadAll()
	require.NoError(t, err)
	events := joinedBySerial(t, kernelLog)
	categories := map[string]string{
		"executed": "process_creation", "deleted": "file_delete", "connected-to": "network_connection", "accepted-connection-from": "network_connection",
		"sent-to": "network_connection", "renamed": "file_delete", "symlinked": "file_event", "opened-file": "file_event",
	}
	compared := map[string]int{}
	for _, row := range rows[1:] {
		const serial, actor, action, result, object, how = 4, 7, 10, 11, 12, 15
		category := categories[row[action]]
		if category == "" || row[result] != "success" && !strings.Contains(row[object], "198.51.100.7") || strings.Contains(row[object], "=local") {
			continue
		}
		var ev *parse.Event
		for i := range events[row[serial]] {
			if events[row[serial]][i].Logsource.Category == category {
				ev = &events[row[serial]][i]
				break
			}
		}
		if ev == nil && row[action] == "opened-file" {
			continue // to read it
		}
		require.NotNil(t, ev, row)
		compared[category]++
		fields := ev.Fields.Map()
		require.Equal(t, row[actor], ev.User)
		if filepath.Base(row[how]) == row[how] { // the script
			row[how] = ""
		}
		require.Contains(t, fields["Image"], row[how])
		compareObject(t, fields, row[object])
	}
	require.Equal(t, map[string]int{"process_creation": 11, "file_delete": 11, "file_event": 7, "network_connection": 7}, compared)
	var created []any
	for _, evs := range events {
		for _, ev := range evs {
			if ev.Logsource.Category == "file_event" {
				created = append(created, ev.Fields.Map()["TargetFilename"])
			}
		}
	}
	require.Subset(t, created, []any{"/srv/web/b", "/srv/web/sub dir/b"}, "what is renamed to, of which ausearch says nothing")
}

// compareObject compares the file or the address of an event.
func compareObject(t *testing.T, fields map[string]any, object string) {
	t.Helper()
	switch {
	case fields["TargetFilename"] != nil:
		require.Equal(t, object, fields["TargetFilename"])
	case fields["DestinationIp"] != nil:
		require.Contains(t, strings.ReplaceAll(object, "::ffff:", ""), fmt.Sprintf(" laddr=%v lport=%v ", fields["DestinationIp"], fields["DestinationPort"]))
	case fields["SourceIp"] != nil:
		require.Contains(t, object, fmt.Sprintf(" laddr=%v lport=%v ", fields["SourceIp"], fields["SourcePort"]))
	}
}

// joinedBySerial returns the events that the records in a file are joined to, by their serials.
func joinedBySerial(t *testing.T, path string) map[string][]parse.Event {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var joiner audit.Joiner
	out := map[string][]parse.Event{}
	add := func(done []audit.Group) {
		for i := range done {
			serial := strconv.FormatUint(done[i].Serial, 10)
			out[serial] = append(out[serial], parse.JoinAudit(&done[i])...)
		}
	}
	for line := range strings.Lines(string(text)) {
		r, ok := audit.Parse(strings.TrimSuffix(line, "\n"))
		require.True(t, ok, line)
		add(joiner.Add(&r, audit.Line{Text: r.Text, Position: line}))
	}
	add(joiner.Expire(time.Now()))
	return out
}
