package logpipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// However many containers and senders have unfinished audit events, those of the files and the journal of this machine are joined.
func TestForeignSourcesLeaveRoomToJoinTheRecordsOfThisMachine(t *testing.T) {
	t.Parallel()
	unfinished := audit.NewJoiner([]audit.Group{{Position: "1"}})
	j := newJoining(nil, nil, 0)
	joined := map[string]bool{}
	open := func(source string) {
		c := &chunk{source: source}
		j.begin(c)
		if joined[source] = c.joiner != nil; joined[source] {
			c.joiner = unfinished
		}
		j.done(c)
	}
	for n := range 200 {
		open(fmt.Sprint("container:", n))
		open(fmt.Sprint("spool:", n))
	}
	require.Len(t, j.bySource, maxJoiningForeign)
	for n := range maxJoining - maxJoiningForeign {
		open(fmt.Sprint("file:", n))
		require.True(t, joined[fmt.Sprint("file:", n)])
	}
	open("journal:")
	require.False(t, joined["journal:"])
	open("container:0")
	require.True(t, joined["container:0"], "it has unfinished events already")
}

// What a user wrote into the journal is kept apart from the records of the kernel; those of one event of the kernel are not, though the user
// of each is that of the process it is about.
func TestWhoWroteAnAuditRecordIsASenderOfItsOwn(t *testing.T) {
	t.Parallel()
	of := func(trust event.Trust, uid *uint32) string {
		return senderOf(&input{Event: parse.Event{Host: "web1"}, origin: event.Origin{UID: uid}, trust: trust})
	}
	user, other := uint32(1000), uint32(1001)
	require.NotEqual(t, of(event.TrustHost, nil), of(event.TrustUnproven, nil))
	require.NotEqual(t, of(event.TrustUnproven, &user), of(event.TrustUnproven, &other))
	require.Equal(t, of(event.TrustHost, nil), of(event.TrustHost, &user))
}

// A record that is not joined is a loss of its input: events that rules are about are missing.
func TestRecordThatIsNotJoinedIsALoss(t *testing.T) {
	s := &Service{}
	in := lineInput(parse.New(parse.Options{}), nil, "p", []byte(`type=EXECVE msg=audit(1701388800.123:99): argc=1 a0="ls"`), time.Now(), parse.Input{})
	in.from = inputstats.ID{Kind: inputstats.Syslog, Name: "udp"}
	require.Empty(t, s.join(nil, in))
	all := s.inputStats.All()
	require.Len(t, all, 1)
	require.Equal(t, map[string]uint64{"lost_records_unjoined": 1}, all[0].Lost)
}
