package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/sbomscanner/document"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
)

var updateSchemas = flag.Bool("schemas", false, "write the JSON Schemas of docs/schema")

// jsonOutput is what a command prints with --json: one value, or one a line.
type jsonOutput struct {
	schema string // its file is docs/schema/<schema>.schema.json
	of     any    // a value of the type that is encoded; nil: the schema is written by hand
}

// jsonOutputs are the commands whose --json has a schema, by path. A new command belongs here, or into textOutputs.
var jsonOutputs = map[string]jsonOutput{
	"actions":             {"action", event.Action{}},
	"alerts":              {"alert", event.Alert{}},
	"alerts show":         {"alert-series", shownAlert{}},
	"approve":             {"approval", containerguard.ApproveReply{}},
	"audit accept":        {"audit-acceptance", audit.Acceptance{}},
	"audit verify":        {"audit-report", verifyResult{}},
	"blocklist accept":    {"accepted-feed", blocklist.AcceptedFeed{}},
	"blocklist add":       {"block", bus.Block{}},
	"blocklist check":     {"blocklist-check", []blocklist.CheckResponse{}},
	"blocklist del":       {"removed-block", removedBlock{}},
	"blocklist list":      {"blocklist", blockedList{}},
	"bus list":            {"bus-keys", []listedKey{}},
	"config show":         {"configuration", []shownValue{}},
	"config validate":     {"configuration-check", validation{}},
	"doctor":              {"../doctor", nil},
	"evidence show":       {"evidence", containerguard.EvidenceReply{}},
	"isolate":             {"isolated-container", containerguard.Quarantined{}},
	"logs explain":        {"explained-line", explainedLine{}},
	"logs search":         {"log", event.Log{}},
	"logs tap":            {"tapped-line", logpipeline.TappedLine{}},
	"notify test":         {"notification-test", containerguard.NotifyReply{}},
	"send":                {"sent-lines", sentLines{}},
	"policies lint":       {"policy-check", lintResult{}},
	"policies simulate":   {"policy-simulation", simulationResult{}},
	"policies test":       {"policy-decisions", []containerguard.PolicyDecision{}},
	"quarantine list":     {"quarantine", containerguard.QuarantineReply{}},
	"quarantine waiting":  {"waiting-steps", containerguard.WaitingReply{}},
	"release":             {"released-container", containerguard.ReleaseReply{}},
	"sbom diff":           {"sbom-difference", sbomDifference{}},
	"sbom findings":       {"sbom-findings", []*finding.Asset{}},
	"sbom list":           {"sbom-documents", []document.Entry{}},
	"scan":                {"../scan-report", nil},
	"status":              {"status", shownOverview{}},
	"storage migrate":     {"storage-migration", migration{}},
	"version":             {"version", programVersion{}},
	"vulndb import":       {"vulndb", vulndbStatus{}},
	"vulndb rollback":     {"vulndb", vulndbStatus{}},
	"vulndb status":       {"vulndb", vulndbStatus{}},
	"vulndb update":       {"vulndb", vulndbStatus{}},
	"errors":              {"error", printedError{}}, // of every command, on standard error
	"notes":               {"note", printedNote{}},
	"replay of a capture": {"packet", event.Packet{}},
	"replay of log lines": {"alert", event.Alert{}},
}

// textOutputs are commands that print the same with --json, and why.
var textOutputs = map[string]string{
	"bus account":    "configuration for a NATS server",
	"bus add-host":   "files and what to do with them",
	"bus add-module": "files and what to do with them",
	"bus init":       "files and what to do with them",
	"bus proxy":      "its log is JSON already",
	"bus renew":      "files and what to do with them",
	"bus revoke":     "what remains to do",
	"replay":         "a line is a packet record or an alert, as the file is a capture or log lines",
	"support":        "the list of what the bundle has",
	"sbom show":      "the document itself, CycloneDX or SPDX",
}

func schemaFile(name string) string { return filepath.Join("../../docs/schema", name+".schema.json") }

// Every command with --json has a schema, which is what the types of this version say. To write them again:
// go test ./cmd/ironpost -run TestSchemas -schemas.
func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	t.Parallel()
	written := map[string]bool{}
	for path, output := range jsonOutputs {
		if output.of == nil || written[output.schema] {
			continue
		}
		written[output.schema] = true
		title := "One value of the output of ironpost " + path + " --json"
		if strings.HasPrefix(path, "vulndb") {
			title = "The output of the commands of ironpost vulndb with --json"
		}
		switch path {
		case "errors":
			title = "What a failed command prints to standard error with --json"
		case "notes":
			title = "A line of standard error that is no error, with --json"
		case "alerts", "replay of log lines":
			title = "One line of the output of ironpost alerts --json and ironpost replay --json: an alert"
		case "replay of a capture":
			title = "One line of the output of ironpost replay --json of a capture"
		}
		want := newSchemaWriter(t).document(output.schema, title, reflect.TypeOf(output.of))
		if *updateSchemas {
			require.NoError(t, os.WriteFile(schemaFile(output.schema), want, 0o644))
		}
		have, err := os.ReadFile(schemaFile(output.schema))
		require.NoError(t, err, "write it: go test ./cmd/ironpost -run TestSchemas -schemas")
		require.Equal(t, string(want), string(have), "%s differs from its type; write it: go test ./cmd/ironpost -run TestSchemas -schemas", output.schema)
	}
	files, err := filepath.Glob(schemaFile("*"))
	require.NoError(t, err)
	require.Len(t, files, len(written), "docs/schema has files of no command")
}

// No command is forgotten, and docs/json.md has a row for each.
func TestEveryCommandHasASchemaOrPrintsText(t *testing.T) {
	t.Parallel()
	page := read(t, "../../docs/json.md")
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "ironpost ")
		_, isJSON := jsonOutputs[path]
		why, isText := textOutputs[path]
		leaf := cmd.Runnable() && cmd.HasParent() && reflect.ValueOf(cmd.Args).Pointer() != reflect.ValueOf(knownCommand).Pointer()
		switch {
		case leaf && !isJSON && !isText:
			require.Fail(t, "this command has no JSON Schema: add it to jsonOutputs or textOutputs (schema_test.go) and to docs/json.md", path)
		case isText:
			require.Contains(t, page, "`ironpost "+path+"`", "%s: %s", path, why)
		case isJSON:
			require.Contains(t, page, fmt.Sprintf("| `ironpost %s` | [%s](%s)", path, filepath.Base(jsonOutputs[path].schema), documentLink(jsonOutputs[path].schema)))
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := (&app{out: &output{w: io.Discard}, err: io.Discard}).rootCommand()
	walk(root)
	for path, output := range jsonOutputs {
		require.Contains(t, page, documentLink(output.schema), path)
	}
}

// Every command that has a schema is run with --json, so that its output is checked (call, checkedMain).
func TestEveryCommandWithASchemaIsRunWithJSON(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(`"`, "", ",", " ").Replace(read(t, "testdata/script/*.txtar", "*_test.go"))
	run := map[string]bool{}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "--json") {
			run[" "+strings.Join(strings.Fields(line), " ")+" "] = true
		}
	}
	for path := range jsonOutputs {
		if path == "errors" || path == "notes" || strings.HasPrefix(path, "replay of") {
			continue // not of one command
		}
		found := false
		for line := range run {
			found = found || strings.Contains(line, " "+path+" ") || strings.Contains(line, "{"+path+" ") || strings.Contains(line, " "+path+"}")
		}
		require.True(t, found, "no test runs ironpost %s --json", path)
	}
}

// documentLink is the link of docs/json.md to a schema.
func documentLink(schema string) string {
	return filepath.Join("schema", schema) + ".schema.json"
}

// compiled are the schemas that were read, by name.
var compiled sync.Map

// compile reads a schema of docs/schema.
func compile(name string) (*jsonschema.Schema, error) {
	if known, ok := compiled.Load(name); ok {
		return known.(*jsonschema.Schema), nil //nolint:forcetypeassert // only this function fills it
	}
	repo := os.Getenv("REPO") // a script runs in a folder of its own
	file := schemaFile(name)
	if repo != "" {
		file = filepath.Join(repo, "cmd/ironpost", file)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(file)
	if err == nil {
		compiled.Store(name, schema)
	}
	return schema, err
}

// validate checks one value in JSON against a schema.
func validate(schema string, document []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	compiled, err := compile(schema)
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// checkOutput checks what a command line printed with --json against its schema. Other output, such as help, is not checked.
func checkOutput(args []string, out []byte) error {
	if !slices.Contains(args, "--json") || slices.ContainsFunc(args, func(s string) bool { return s == "--help" || s == "-h" || strings.HasPrefix(s, "__") }) {
		return nil
	}
	cmd, _, err := (&app{out: &output{w: io.Discard}, err: io.Discard}).rootCommand().Find(withoutGlobalFlags(args))
	if err != nil {
		return nil //nolint:nilerr // the command said so
	}
	path := strings.TrimPrefix(cmd.CommandPath(), "ironpost ")
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.UseNumber()
	for {
		var value any
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return nil
		}
		output, known := jsonOutputs[path]
		if object, ok := value.(map[string]any); path == "replay" && ok {
			output, known = jsonOutputs["replay of log lines"], true
			if _, isAlert := object["dedup_key"]; !isAlert {
				output = jsonOutputs["replay of a capture"]
			}
		}
		if !known {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s printed what is not JSON: %w", path, err)
		}
		schema, err := compile(output.schema)
		if err != nil {
			return err
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("the output of %s differs from its schema: %w", path, err)
		}
	}
}

// withoutGlobalFlags returns args from the name of the command on, since cobra's Find takes the value of a flag for it.
func withoutGlobalFlags(args []string) []string {
	names := map[string]bool{}
	for _, cmd := range (&app{out: &output{w: io.Discard}, err: io.Discard}).rootCommand().Commands() {
		names[cmd.Name()] = true
	}
	at := slices.IndexFunc(args, func(s string) bool { return names[s] })
	return args[max(0, at):]
}

// checkedMain is main for the scripts: with --json it exits with 97 if the output differs from its schema.
func checkedMain() {
	if !slices.Contains(os.Args, "--json") || slices.Contains(os.Args, "--follow") || os.Getenv("REPO") == "" {
		main()
		return
	}
	var printed bytes.Buffer
	ctx, stop := interruptible()
	code := run(ctx, os.Args[1:], io.MultiWriter(os.Stdout, &printed), os.Stderr)
	stop()
	if err := checkOutput(os.Args[1:], printed.Bytes()); err != nil {
		const differs = 97
		fmt.Fprintln(os.Stderr, err)
		code = differs
	}
	os.Exit(code)
}
