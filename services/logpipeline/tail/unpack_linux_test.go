package tail_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var packers = []string{"gzip", "xz", "zstd", "bzip2"}

func packed(name, with string) step {
	return func(d dir, _ *rig) { d.packWith(with, name, false) }
}

// What was written and rotated in every way while nothing was read is read, the oldest first, and once.
func TestRotationsWhileDownAreRead(t *testing.T) {
	t.Parallel()
	fifty, lines := numbered("read", 0, 50)
	folder := do(func(d dir) error { return os.MkdirAll(d.path("old"), 0o700) })
	for _, with := range packers {
		ext := suffixes[with]
		cases := map[string]struct {
			steps []step
			want  []string
		}{
			"copied, truncated and packed": {[]step{add("a\n"), truncateTo("app.log.1"), packed("app.log.1", with), add("b\n")}, []string{"a", "b"}},
			"renamed twice, the older one packed": {[]step{
				add("a\n"), move("app.log", "app.log.1"), add("b\n"), move("app.log.1", "app.log.2"), packed("app.log.2", with), move("app.log", "app.log.1"), add("c\n"),
			}, []string{"a", "b", "c"}},
			"renamed three times, all packed": {[]step{
				add("a\n"), move("app.log", "app.log.1"), packed("app.log.1", with), add("b\n"), move("app.log.1"+ext, "app.log.2"+ext), move("app.log", "app.log.1"),
				packed("app.log.1", with), add("c\n"), move("app.log.2"+ext, "app.log.3"+ext), move("app.log.1"+ext, "app.log.2"+ext), move("app.log", "app.log.1"),
				packed("app.log.1", with), add("d\n"),
			}, []string{"a", "b", "c", "d"}},
			"moved to a folder":         {[]step{folder, add("a\n"), move("app.log", "old/app.log.1"), packed("old/app.log.1", with), add("b\n")}, []string{"a", "b"}},
			"dates":                     {[]step{add("a\n"), move("app.log", "app.log-20261201"), packed("app.log-20261201", with), add("b\n"), move("app.log", "app.log-20261202"), add("c\n")}, []string{"a", "b", "c"}},
			"dates before the ending":   {[]step{add("a\n"), move("app.log", "app-2026-12-01.log"), packed("app-2026-12-01.log", with), add("b\n")}, []string{"a", "b"}},
			"no new file":               {[]step{add("a\n"), move("app.log", "app.log.1"), packed("app.log.1", with)}, []string{"a"}},
			"nothing written before it": {[]step{move("app.log", "app.log.1"), packed("app.log.1", with), add("a\n")}, []string{"a"}},
		}
		for name, c := range cases {
			t.Run(with+" "+name, func(t *testing.T) {
				t.Parallel()
				d := newDir(t)
				r := newRig(t, d.path("app.log"))
				r.settle()
				d.add("app.log", fifty)
				r.want(lines...)
				r.save()
				require.NoError(t, r.tail.Close())
				for _, do := range c.steps {
					do(d, r)
				}
				r.start()
				r.want(c.want...)
				st := r.tail.Stats()
				require.Zero(t, st.Lag)
				require.Empty(t, st.Reasons)
				r.save()
				r.kill()
				r.settle()
				require.Empty(t, r.got, "it is read once")
			})
		}
	}
}

// A rotation that was there, and skipped, when its log was first followed is no new one once it is packed.
func TestOldRotationIsNotReadOncePacked(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("app.log.1", "old\nolder\n")
	d.add("app.log", "there\n")
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "a\n")
	r.want("a")
	d.move("app.log.1", "app.log.2")
	d.compress("app.log.2")
	now := statOf(t, d.path("app.log")).ModTime()
	require.NoError(t, os.Chtimes(d.path("app.log.2.gz"), now, now))
	d.move("app.log", "app.log.1")
	d.add("app.log", "b\n")
	r.want("b")
}

func statOf(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info
}

// A file that unpacks to far more than text does, or asks for more memory than is given, is named and costs a bounded share.
func TestHostileCompressedRotationIsNamed(t *testing.T) {
	t.Parallel()
	files := map[string]func() []byte{
		"app.log.1.zst": func() []byte {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "head -c 1G /dev/zero | zstd -c")
			out, err := cmd.Output()
			require.NoError(t, err)
			return out
		},
		"app.log.1.xz": func() []byte {
			cmd := exec.CommandContext(t.Context(), "xz", "-c")
			cmd.Stdin = strings.NewReader("a line\n")
			out, err := cmd.Output()
			require.NoError(t, err)
			header := out[12 : 12+(int(out[12])+1)*4] // The .xz File Format, 3.1
			header[4] = 40                            // a dictionary of 4 GiB
			binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
			return out
		},
		"app.log.1.gz": func() []byte {
			empty, err := exec.CommandContext(t.Context(), "gzip", "-c", os.DevNull).Output()
			require.NoError(t, err)
			return bytes.Repeat(empty, 1_000_000) // 20 MB that hold nothing
		},
	}
	for name, make := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path("app.log"), d.path("other.log"))
			r.settle()
			d.add("app.log", "first\n")
			r.want("first")
			r.save()
			require.NoError(t, r.tail.Close())
			d.move("app.log", "app.log.2")
			d.add(name, string(make()))
			d.add("app.log", "last\n")
			d.add("other.log", "other\n")
			r.start()
			require.Eventually(t, func() bool { r.read(10, 100*time.Millisecond); return len(r.got) == 2 }, time.Minute, time.Millisecond)
			require.ElementsMatch(t, []string{"last", "other"}, r.got)
			require.Contains(t, strings.Join(r.tail.Stats().Reasons, "\n"), d.path(name)+", a rotation of ")
			require.EqualValues(t, 1, r.tail.Stats().LostFiles)
		})
	}
}

// xz files of several blocks and streams, with every check, give what xz -dc gives.
func TestXzIsReadAsXzDoes(t *testing.T) {
	t.Parallel()
	text, lines := numbered("some text that goes on for a while", 0, 20_000)
	for _, check := range []string{"none", "crc32", "crc64", "sha256"} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			r := newRig(t, d.path("app.log"))
			r.settle()
			d.add("app.log", "first\n")
			r.want("first")
			r.save()
			require.NoError(t, r.tail.Close())
			d.remove("app.log")
			for _, part := range []string{"first\n" + text[:len(text)/2], text[len(text)/2:]} {
				cmd := exec.CommandContext(t.Context(), "xz", "-c", "--check="+check, "--block-size=65536", "-T2")
				cmd.Stdin = strings.NewReader(part)
				out, err := cmd.Output()
				require.NoError(t, err)
				d.add("app.log.1.xz", string(out)+"\x00\x00\x00\x00") // padding between streams
			}
			d.add("app.log", "last\n")
			r.start()
			r.want(append(lines, "last")...)
		})
	}
}

// logrotate itself, in every way that it compresses and moves files.
func TestLogrotateWhileDown(t *testing.T) {
	t.Parallel()
	logrotate, err := exec.LookPath("logrotate")
	if err != nil {
		logrotate = "/usr/sbin/logrotate" // not in the PATH of users
	}
	require.FileExists(t, logrotate, "deploy/dev/install-deps.sh installs it")
	for name, lines := range map[string]string{
		"numbers":        "compress",
		"delayed":        "compress\ndelaycompress",
		"copytruncate":   "copytruncate\ncompress",
		"dates":          "dateext\ndateformat -%Y%m%d-%s\ncompress",
		"dates with ext": "dateext\ndateformat -%Y%m%d-%s\nextension .log\ncompress",
		"xz":             "compress\ncompresscmd /usr/bin/xz\ncompressext .xz",
		"zstd":           "compress\ncompresscmd /usr/bin/zstd\ncompressoptions -q\ncompressext .zst\ncopytruncate",
		"folder":         "olddir old\ncreateolddir 700 root root\ncompress\ncompresscmd /usr/bin/xz\ncompressext .xz",
		"folder, dates":  "olddir old\ncreateolddir 700 root root\ndateext\ndateformat -%Y%m%d-%s\ncopytruncate",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t)
			require.NoError(t, os.Chmod(d.root, 0o700)) //nolint:gosec // a folder
			conf := filepath.Join(t.TempDir(), "conf")
			text := d.path("app.log") + " {\nrotate 20\nmissingok\ncreate 600 root root\n" + lines + "\n}\n"
			require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
			rotate := func() {
				out, err := exec.CommandContext(t.Context(), logrotate, "-f", "-s", conf+".state", conf).CombinedOutput()
				require.NoError(t, err, string(out))
			}
			r := newRig(t, d.path("app.log"))
			r.settle()
			d.add("app.log", "first\n")
			r.want("first")
			r.save()
			require.NoError(t, r.tail.Close())
			d.add("app.log", "a\n")
			rotate()
			d.add("app.log", "b\n")
			if !strings.Contains(lines, "dateext") { // those names hold seconds
				rotate()
				d.add("app.log", "c\n")
			}
			r.start()
			want := []string{"a", "b", "c"}
			if strings.Contains(lines, "dateext") {
				r.want(want[:2]...)
				return
			}
			r.want(want...)
			require.Empty(t, r.tail.Stats().Reasons)
			d.add("app.log", "live\n")
			rotate()
			d.add("app.log", "after\n")
			require.Eventually(t, func() bool { r.read(10, 100*time.Millisecond); return len(r.got) == 2 }, time.Minute, time.Millisecond)
			require.ElementsMatch(t, []string{"live", "after"}, r.got)
		})
	}
}
