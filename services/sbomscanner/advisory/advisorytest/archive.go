// Package advisorytest makes archives of advisories for tests, such as one as large as npm's.
package advisorytest

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// NPMRecords is about how many records OSV has of npm.
const NPMRecords = 220_000

// packages of the records that are not about a package of their own.
const sharedPackages = 5_000

// Archive writes an all.zip with n records of npm to path, which takes some 580 bytes each, as npm's does. Record i has the id
// GHSA-<i in eight digits>. Nine of ten name the package unique-<i>, as reports of malicious packages do; every tenth names
// one of the packages shared-0 to shared-4999. Versions below 1.2.3 are affected, and 1.3.0.
func Archive(t testing.TB, path string, n int) {
	t.Helper()
	if err := write(path, n); err != nil {
		t.Fatal(err)
	}
}

// Name returns the package that record i of Archive is about.
func Name(i int) string {
	if i%10 == 0 {
		return fmt.Sprintf("shared-%d", i/10%sharedPackages)
	}
	return fmt.Sprintf("unique-%d", i)
}

func write(path string, n int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(file, 1<<20)
	archive := zip.NewWriter(out)
	packer, err := flate.NewWriter(nil, flate.BestSpeed) // one for all entries: making it costs more than packing one
	if err != nil {
		return err
	}
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		packer.Reset(w)
		return packer, nil
	})
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same archive each time
	for i := range n {
		entry, err := archive.Create(fmt.Sprintf("GHSA-%08d.json", i))
		if err != nil {
			return err
		}
		if _, err := entry.Write(record(i, random)); err != nil {
			return err
		}
	}
	for _, fn := range []func() error{archive.Close, out.Flush, file.Close} {
		if err := fn(); err != nil {
			return err
		}
	}
	return nil
}

type object = map[string]any

func record(i int, random *rand.Rand) []byte {
	b, err := json.Marshal(object{
		"schema_version": "1.7.3",
		"id":             fmt.Sprintf("GHSA-%08d", i),
		"modified":       "2026-08-21T06:28:40Z",
		"published":      "2026-08-20T06:28:40.123456Z",
		"aliases":        []string{fmt.Sprintf("CVE-2026-%d", 100_000+i)},
		"summary":        "Malicious code in " + Name(i) + " (npm)",
		"details":        "The package runs code of an attacker when it is installed. Any computer that has it installed or running should be considered compromised.",
		"severity":       []object{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}},
		"affected": []object{{
			"package":  object{"ecosystem": "npm", "name": Name(i), "purl": "pkg:npm/" + Name(i)},
			"ranges":   []object{{"type": "SEMVER", "events": []object{{"introduced": "0"}, {"fixed": "1.2.3"}}}},
			"versions": []string{"1.3.0"},
			"database_specific": object{
				"cwes":   []object{{"cweId": "CWE-506", "name": "Embedded Malicious Code"}},
				"source": fmt.Sprintf("https://advisories.example/%x", random.Uint64()),
			},
		}},
		"references": []object{
			{"type": "WEB", "url": fmt.Sprintf("https://example.org/%x%x", random.Uint64(), random.Uint64())},
			{"type": "WEB", "url": "https://www.npmjs.com/package/" + Name(i)},
		},
		"database_specific": object{"severity": "CRITICAL"},
	})
	if err != nil {
		panic(err) // it is made of strings
	}
	return b
}
