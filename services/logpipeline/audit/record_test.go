package audit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
)

func TestParseRefusesWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "type=", "type=SYSCALL", "type=SYSCALL msg=audit(1.123:5)", "type=SYSCALL msg=audit(x.123:5): a=b", "type=SYSCALL msg=audit(1.12:5): a=b",
		"type=SYSCALL msg=audit(1.123:-5): a=b", "node=a", "node=" + strings.Repeat("a", 300) + " type=A msg=audit(1.123:5): a=b",
		"x type=SYSCALL msg=audit(1.123:5): a=b", "type=SYSCALL msg=audit(99999999999999999999.123:5): a=b",
	} {
		_, ok := audit.Parse(text)
		require.False(t, ok, text)
	}
}

func TestArgumentsAreJoinedOverRecordsAndParts(t *testing.T) {
	t.Parallel()
	var records []audit.Record
	for _, text := range []string{
		`type=EXECVE msg=audit(1.123:5): argc=4 a0="sh" a1="-c" a2_len=8 a2[0]=6563`,
		`type=EXECVE msg=audit(1.123:5): a2[1]=686F`, `type=EXECVE msg=audit(1.123:5): a3="x" a99999="y" a-1=7 a3x=8`,
	} {
		r, ok := audit.Parse(text)
		require.True(t, ok)
		records = append(records, r)
	}
	require.Equal(t, []string{"sh", "-c", "echo", "x"}, audit.Arguments(records))
}

func TestSyscallNames(t *testing.T) {
	t.Parallel()
	for _, want := range [][4]string{
		{"c000003e", "59", "x86_64", "execve"}, {"0xc00000b7", "221", "aarch64", "execve"}, {"40000003", "11", "i386", "execve"},
		{"40000028", "11", "arm", "execve"}, {"c000003e", "99999", "x86_64", ""}, {"1", "59", "", ""},
	} {
		arch, call := audit.Syscall(want[0], want[1])
		require.Equal(t, want[2:], []string{arch, call})
	}
	require.Equal(t, "PROCTITLE", audit.TypeName("1327"))
	require.Equal(t, "UNKNOWN[1999]", audit.TypeName("1999"))
}

// FuzzParse checks that every text is parsed within the bounds.
func FuzzParse(f *testing.F) {
	f.Add(`type=EXECVE msg=audit(1764446400.123:538): argc=3 a0="cat" a1="/etc/shadow" a2=2F746D702F61206220`)
	f.Add("type=USER_AUTH msg=audit(1764446400.123:540): pid=7 msg='op=PAM:authentication acct=\"bob\"'\x1dUID=\"root\"")
	f.Add("type=A msg=audit(1.123:1): " + strings.Repeat("msg='", 5000))
	f.Add("type=SOCKADDR msg=audit(1764446400.124:541): saddr=0200115CC63364070000000000000000\x1dSADDR={ saddr_fam=inet }")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := audit.Parse(text)
		if !ok {
			return
		}
		require.LessOrEqual(t, len(r.Fields), 512)
		size := 0
		for _, field := range r.Fields {
			size += len(field.Name) + len(field.Value)
		}
		require.LessOrEqual(t, size, 3*len(text), "a byte that is no text becomes three")
		audit.Arguments([]audit.Record{r, r})
		audit.ParseAddress(r.Get("saddr"))
	})
}
