package safety_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/safety"
)

func TestAnswersEndWithTheFirstOfTheirSteps(t *testing.T) {
	t.Parallel()
	s := safety.NewState(safety.Limits{})
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	in := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	require.False(t, s.Answered("s", "b", now))
	s.NoteAnswer("s", "a", "container:x", in(60), now)
	s.NoteAnswer("s", "a", "address:y", in(10), now)
	s.NoteAnswer("s", "a", "", time.Time{}, now)
	require.True(t, s.Answered("s", "b", in(9)))
	require.False(t, s.Answered("s", "b", in(10)))
	require.False(t, s.Answered("s", "a", now), "the alert itself, which may be delivered again")
	s.EndAnswers("address:y", in(3))
	require.True(t, s.Answered("s", "b", in(2)), "a match before that")
	require.False(t, s.Answered("s", "b", in(3)))

	s.NoteAnswer("told", "a", "", time.Time{}, now)
	require.True(t, s.Answered("told", "b", in(100_000)))
	s.NoteAnswer("held", "a", "", time.Time{}, now)
	s.NoteAnswer("held", "a", "container:z", time.Time{}, now)
	s.NoteAnswer("held", "a", "", time.Time{}, now)
	s.EndAnswers("container:z", in(5))
	require.False(t, s.Answered("held", "b", in(6)))
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	s := safety.NewState(safety.Limits{})
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	for n := range 10_100 {
		s.NoteAnswer(fmt.Sprint(n), "a", "", time.Time{}, now.Add(time.Duration(n)))
	}
	require.False(t, s.Answered("99", "b", now))
	require.True(t, s.Answered("100", "b", now))
	require.True(t, s.Answered("10099", "b", now))
}
