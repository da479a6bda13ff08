package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

func TestPublishStoresInOrderWithHeaders(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	recs := alerts(b.Host(), 0, 250)
	require.NoError(t, p.Publish(within(t, patience), recs...))
	require.Equal(t, idsOf(recs), ids(t, b, bus.Alerts))
	require.Equal(t, uint64(250), p.LastSeq())
	s := p.Stats()
	require.Equal(t, uint64(250), s.Published+s.Duplicates, "an unanswered batch is published again")

	err := b.Conn(bus.Operator).History(within(t, patience), bus.Alerts, bus.HistoryOptions{Limit: 1}, func(d bus.Delivery) bool {
		require.Equal(t, []string{"high"}, d.Header[bus.HeaderSeverity])
		require.Equal(t, []string{"rule-1"}, d.Header[bus.HeaderRule])
		require.Equal(t, []string{"1"}, d.Header[bus.HeaderSchema])
		require.Regexp(t, `^00-0123456789abcdef0123456789abcdef-[0-9a-f]{16}-01$`, d.Header[bus.HeaderTraceparent][0])
		require.NoError(t, event.Decode(d.Data, &event.Alert{}))
		return true
	})
	require.NoError(t, err)
}

func TestPublishSameIDStoresOnce(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	for range 3 {
		require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), "one")))
	}
	require.Equal(t, []string{"one"}, ids(t, b, bus.Alerts))
	require.Equal(t, uint64(2), p.Stats().Duplicates)
}

func TestBatchWithADuplicateInsideKeepsTheRest(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	recs := alerts(b.Host(), 0, 10)
	require.NoError(t, p.Publish(within(t, patience), recs[4]))
	require.NoError(t, p.Publish(within(t, patience), append(recs, recs[9])...))
	require.ElementsMatch(t, idsOf(recs), ids(t, b, bus.Alerts))
	require.Equal(t, uint64(10), p.Stats().Published)
}

func TestPublishInvalidRecordLeavesTheOthers(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	err := p.Publish(within(t, patience), newAlert(b.Host(), "a"), &event.Alert{}, newAlert(b.Host(), "b"))
	require.ErrorIs(t, err, bus.ErrInvalid)
	require.Equal(t, []string{"a", "b"}, ids(t, b, bus.Alerts))
	require.Equal(t, uint64(1), p.Stats().Refused)
}

func TestPublisherOfAnotherStreamIsRefused(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	_, err := b.Conn(bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.DLQ, Module: bus.LogPipeline, Host: b.Host()})
	require.Error(t, err)
}

// A full stream blocks its producer. Once it is purged, the same records are stored, and an
// observer gets each of them once.
func TestFullStreamBlocksAndLosesNothing(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 700 << 10})) // alerts: 262 KiB
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	feed, err := b.Observer().SubscribeSync(bus.RepublishedAlerts)
	require.NoError(t, err)
	recs := alerts(b.Host(), 0, 600)
	done := make(chan error, 1)
	go func() { done <- p.Publish(within(t, patience), recs...) }()

	require.Eventually(t, func() bool { return !p.Stats().BlockedSince.IsZero() }, patience, time.Millisecond)
	stored := ids(t, b, bus.Alerts)
	require.Equal(t, idsOf(recs[:len(stored)]), stored, "in order, none left out")
	require.Less(t, len(stored), len(recs))

	purge(t, b, bus.Alerts)
	require.NoError(t, finish(t, b, done))
	require.Equal(t, idsOf(recs), seen(t, feed, len(recs)))
	s := p.Stats()
	require.Zero(t, s.BlockedSince)
	require.Positive(t, s.BlockedSeconds)
}

// finish purges until Publish returns.
func finish(t *testing.T, b *bustest.Bus, done <-chan error) error {
	t.Helper()
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(200 * time.Millisecond):
			purge(t, b, bus.Alerts)
		}
	}
}

func purge(t testing.TB, b *bustest.Bus, stream bus.StreamName) {
	t.Helper()
	s, err := admin(t, b).Stream(within(t, patience), string(stream))
	require.NoError(t, err)
	require.NoError(t, s.Purge(within(t, patience)))
}

func admin(t testing.TB, b *bustest.Bus) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(b.Raw(bus.Daemon))
	require.NoError(t, err)
	return js
}

// seen returns the ids a subscription got, and fails if there are more than n.
func seen(t *testing.T, sub *nats.Subscription, n int) []string {
	t.Helper()
	got := make([]string, 0, n)
	for range n {
		m, err := sub.NextMsg(patience)
		require.NoError(t, err)
		got = append(got, m.Header.Get(bus.HeaderID))
	}
	require.NoError(t, sub.SetPendingLimits(-1, -1))
	_, err := sub.NextMsg(100 * time.Millisecond)
	require.ErrorIs(t, err, nats.ErrTimeout)
	return got
}

func TestPublishSurvivesARestartedServer(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	recs := alerts(b.Host(), 0, 2000)
	done := make(chan error, 1)
	go func() {
		for i := range 20 {
			if err := p.Publish(within(t, patience), recs[i*100:(i+1)*100]...); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 3 {
		b.Restart()
	}
	require.NoError(t, <-done)
	require.Equal(t, idsOf(recs), ids(t, b, bus.Alerts))
}

func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Actions, bus.ContainerGuard)
	require.NoError(t, p.Publish(within(t, patience), newAction(b.Host(), "a")))
	require.NoError(t, admin(t, b).DeleteStream(within(t, patience), string(bus.Actions)))
	err := p.Publish(within(t, 300*time.Millisecond), newAction(b.Host(), "b"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, p.Unconfirmed())
	b.Provision()
	require.NoError(t, p.Publish(within(t, patience), newAction(b.Host(), "b")))
	require.Equal(t, []string{"b"}, ids(t, b, bus.Actions))
}

// A publisher whose call ended is not blocked, also when it could not learn where its
// records end.
func TestPublisherIsNotBlockedAfterItsCall(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Actions, bus.ContainerGuard)
	require.NoError(t, admin(t, b).DeleteStream(within(t, patience), string(bus.Actions)))
	require.ErrorIs(t, p.Publish(within(t, 300*time.Millisecond), newAction(b.Host(), "a")), context.DeadlineExceeded)
	require.Zero(t, p.Stats().BlockedSince)
	require.Positive(t, p.Stats().BlockedSeconds)
}

func TestClosedPublisherIsForgotten(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn := b.Conn(bus.LogPipeline)
	for range 100 { // more than may be open
		p, err := conn.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: b.Host()})
		require.NoError(t, err)
		require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), "a")))
		p.Close()
		p.Close()
		require.Equal(t, uint64(1), p.LastSeq())
	}
	require.Zero(t, conn.OpenPublishers())
}

func TestOpenPublishersAreBounded(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn := b.Conn(bus.LogPipeline)
	var err error
	for n := 0; err == nil; n++ {
		require.Less(t, n, 1000)
		_, err = conn.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: b.Host()})
	}
	require.ErrorContains(t, err, "open on this connection")
}

// A publisher remembers the ids of what is stored after the last checkpoint.
func TestForgetDropsIDsBeforeTheCheckpoint(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	recs := alerts(b.Host(), 0, 300)
	first := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, first.Publish(within(t, patience), recs[:100]...))
	checkpoint := first.LastSeq()
	require.NoError(t, first.Publish(within(t, patience), recs[100:]...))

	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Resume(within(t, patience), 0, nil))
	require.Equal(t, 300, p.StoredIDs())
	p.Forget(checkpoint)
	require.Equal(t, 200, p.StoredIDs())
	require.NoError(t, p.Publish(within(t, patience), recs[100:]...))
	require.Equal(t, uint64(200), p.Stats().Duplicates)
	require.Zero(t, p.Stats().Published)
	p.Forget(p.LastSeq())
	require.Zero(t, p.StoredIDs())
}

// After a downtime longer than the stream remembers ids, Resume keeps them unique.
func TestResumeSkipsWhatIsStored(t *testing.T) {
	t.Parallel()
	short := 100 * time.Millisecond
	b := bustest.New(t, bustest.WithLimits(bus.Limits{}.WithDuplicates(short)))
	recs := alerts(b.Host(), 0, 700)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Publish(within(t, patience), recs[:300]...))
	checkpoint := p.LastSeq()
	require.NoError(t, p.Publish(within(t, patience), recs[300:600]...))
	forgotten(t, b, short)

	again := publisher(t, b, bus.Alerts, bus.LogPipeline)
	var read []string
	require.NoError(t, again.Resume(within(t, patience), checkpoint, func(s bus.StoredRecord) error {
		read = append(read, s.ID)
		return nil
	}))
	require.Equal(t, idsOf(recs[300:600]), read)
	require.Equal(t, p.LastSeq(), again.LastSeq())
	require.NoError(t, again.Publish(within(t, patience), recs[300:]...))
	require.Equal(t, idsOf(recs), ids(t, b, bus.Alerts))
}

// A checkpoint that is saved when only some of what Resume found was offered again, and then a second crash: the rest is still left out.
func TestResumePointIsBeforeWhatWasNotOffered(t *testing.T) {
	t.Parallel()
	short := 100 * time.Millisecond
	b := bustest.New(t, bustest.WithLimits(bus.Limits{}.WithDuplicates(short)))
	recs := alerts(b.Host(), 0, 100)
	first := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, first.Publish(within(t, patience), recs...))
	require.Equal(t, first.LastSeq(), first.ResumePoint(time.Hour))

	second := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, second.Resume(within(t, patience), 0, nil))
	require.Zero(t, second.ResumePoint(time.Hour))
	require.NoError(t, second.Publish(within(t, patience), recs[:30]...))
	require.NoError(t, second.Publish(within(t, patience), recs[60:]...))
	checkpoint := second.ResumePoint(time.Hour)
	require.Equal(t, uint64(30), checkpoint)
	second.Forget(checkpoint)

	forgotten(t, b, short)
	third := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, third.Resume(within(t, patience), checkpoint, nil))
	require.NoError(t, third.Publish(within(t, patience), recs[30:]...))
	require.Equal(t, idsOf(recs), ids(t, b, bus.Alerts))
	require.Equal(t, third.LastSeq(), third.ResumePoint(time.Hour), "all were offered")
	require.Equal(t, second.LastSeq(), second.ResumePoint(0), "the rest is not expected any more")
}

// forgotten waits until the stream stores an id a second time.
func forgotten(t *testing.T, b *bustest.Bus, window time.Duration) {
	t.Helper()
	p := publisher(t, b, bus.Alerts, bus.SBOMScanner)
	probe := newAlert(b.Host(), "probe")
	require.NoError(t, p.Publish(within(t, patience), probe))
	require.Eventually(t, func() bool {
		require.NoError(t, p.Publish(within(t, patience), probe))
		return p.Stats().Published == 2
	}, patience, window)
	js := admin(t, b)
	s, err := js.Stream(within(t, patience), string(bus.Alerts))
	require.NoError(t, err)
	require.NoError(t, s.Purge(within(t, patience), jetstream.WithPurgeSubject(bus.AlertSubject(bus.SBOMScanner, b.Host()))))
}

// A replica that lags behind is no loss: another one has the records, or it gets them soon.
func TestResumeWaitsForAReplica(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	recs := alerts(b.Host(), 0, 10)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Publish(within(t, patience), recs[:5]...))
	checkpoint := p.LastSeq() + 5

	second := publisher(t, b, bus.Alerts, bus.LogPipeline)
	pauses := 0
	second.BeforePause(func() {
		if pauses++; pauses == 3 {
			require.NoError(t, p.Publish(within(t, patience), recs[5:]...))
		}
	})
	require.NoError(t, second.Resume(within(t, patience), checkpoint, nil))
	require.Equal(t, 3, pauses)
	require.Zero(t, second.Stats().Lost)
	require.Equal(t, checkpoint, second.LastSeq())
}

// A stream whose end was lost, because the store was damaged or replaced, ends before the
// checkpoint: what is stored from then on is read back all the same, and the loss is counted.
func TestResumeWhenTheStreamLostItsEnd(t *testing.T) {
	t.Parallel()
	short := 100 * time.Millisecond
	b := bustest.New(t, bustest.WithLimits(bus.Limits{}.WithDuplicates(short)))
	recs := alerts(b.Host(), 0, 20)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Publish(within(t, patience), recs[:5]...))
	const lost = 7
	checkpoint := p.LastSeq() + lost

	second := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, second.Resume(within(t, patience), checkpoint, nil))
	require.EqualValues(t, lost, second.Stats().Lost)
	require.Equal(t, p.LastSeq(), second.LastSeq())
	require.NoError(t, second.Publish(within(t, patience), recs[5:]...))
	forgotten(t, b, short)

	third := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, third.Resume(within(t, patience), p.LastSeq(), nil))
	require.Zero(t, third.Stats().Lost)
	require.NoError(t, third.Publish(within(t, patience), recs[5:]...))
	require.Equal(t, idsOf(recs), ids(t, b, bus.Alerts))

	fresh := bustest.New(t)
	p = publisher(t, fresh, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Resume(within(t, patience), checkpoint, nil))
	require.Zero(t, p.LastSeq(), "the checkpoint belongs to another store")
}

func TestResumeReturnsItsCallersError(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), "a")))
	mine := errors.New("mine")
	require.ErrorIs(t, p.Resume(within(t, patience), 0, func(bus.StoredRecord) error { return mine }), mine)
}

func TestSendAndFlush(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Packets, bus.EBPFEngine)
	var want []string
	for i := range 2000 {
		rec := newPacket(b.Host(), alerts(b.Host(), i, 1)[0].Meta().ID)
		want = append(want, rec.ID)
		require.NoError(t, p.Send(within(t, patience), rec))
	}
	require.NoError(t, p.Flush(within(t, patience)))
	require.Equal(t, want, ids(t, b, bus.Packets))
	require.Equal(t, uint64(2000), p.Stats().Published)
	require.Equal(t, uint64(2000), p.LastSeq())
}

func TestSendSurvivesARestartedServer(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Packets, bus.EBPFEngine)
	ctx := within(t, patience)
	done := make(chan error, 1)
	recs := make([]*event.Packet, 4000)
	for i := range recs {
		recs[i] = newPacket(b.Host(), alerts(b.Host(), i, 1)[0].Meta().ID)
	}
	go func() {
		for _, rec := range recs {
			if err := p.Send(ctx, rec); err != nil {
				done <- err
				return
			}
		}
		done <- p.Flush(ctx)
	}()
	require.Eventually(t, func() bool { return p.Stats().Published > 100 }, patience, time.Millisecond)
	b.Restart()
	require.NoError(t, <-done)
	require.Len(t, unique(ids(t, b, bus.Packets)), len(recs))
}

// What was sent is not sent again by the caller, so its ids are not remembered.
func TestFlushForgetsIDs(t *testing.T) {
	t.Parallel()
	const window = 200 * time.Millisecond
	b := bustest.New(t, bustest.WithLimits(bus.Limits{}.WithDuplicates(window)))
	p := publisher(t, b, bus.Packets, bus.EBPFEngine)
	p.ForgetAfter(window)
	ctx := within(t, patience)
	recs := make([]*event.Packet, 500)
	for i := range recs {
		recs[i] = newPacket(b.Host(), alerts(b.Host(), i, 1)[0].Meta().ID)
	}
	for i, rec := range recs {
		require.NoError(t, p.Send(ctx, rec))
		if i == len(recs)/2 {
			b.Restart()
		}
	}
	require.NoError(t, p.Flush(ctx))
	require.Len(t, unique(ids(t, b, bus.Packets)), len(recs))
	require.Zero(t, p.StoredIDs())
}

// Without a server the window fills, and Send waits; what it took is stored when the
// server is back.
func TestSendIsBoundedWithoutAServer(t *testing.T) {
	t.Parallel()
	const window = 8
	b := bustest.New(t)
	p, err := b.Conn(bus.EBPFEngine).Publisher(bus.PublisherConfig{Stream: bus.Packets, Module: bus.EBPFEngine, Host: b.Host(), InFlight: window})
	require.NoError(t, err)
	require.NoError(t, p.Send(within(t, patience), newPacket(b.Host(), "first")))
	require.NoError(t, p.Flush(within(t, patience)))
	js := admin(t, b)
	require.NoError(t, js.DeleteStream(within(t, patience), string(bus.Packets)))
	sent := 0
	for ctx := within(t, 500*time.Millisecond); p.Send(ctx, newPacket(b.Host(), alerts(b.Host(), sent, 1)[0].Meta().ID)) == nil; {
		sent++
	}
	require.Equal(t, window, sent)
	require.ErrorIs(t, p.Flush(within(t, 300*time.Millisecond)), context.DeadlineExceeded)
	require.Zero(t, p.Stats().BlockedSince)
	b.Provision()
	require.NoError(t, p.Flush(within(t, patience)))
	require.Equal(t, idsOf(alerts(b.Host(), 0, sent)), ids(t, b, bus.Packets))
}

func unique(in []string) map[string]int {
	out := make(map[string]int, len(in))
	for _, s := range in {
		out[s]++
	}
	return out
}

// Publishing as another module is refused and becomes a reason.
func TestViolationBecomesAReason(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn := b.Conn(bus.LogPipeline)
	p, err := conn.Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: b.Host()})
	require.NoError(t, err)
	require.Error(t, p.Publish(within(t, 300*time.Millisecond), newAction(b.Host(), "forged")))
	require.Eventually(t, func() bool { return len(conn.Violations()) > 0 }, patience, time.Millisecond)
	require.NotEmpty(t, conn.Reasons())
	require.Empty(t, ids(t, b, bus.Actions))
}

func TestViolationExpiresUnlessRepeated(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t).Conn(bus.LogPipeline)
	old := time.Now().Add(-11 * time.Minute)
	conn.AddViolation("fixed", old)
	conn.AddViolation("repeated", old)
	conn.AddViolation("repeated", time.Now())
	require.Equal(t, []string{"refused by the bus: repeated"}, conn.Reasons())
}

func TestNewestViolationsAreKept(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t).Conn(bus.LogPipeline)
	for i := range 100 {
		conn.AddViolation(fmt.Sprint(i), time.Now())
	}
	got := conn.Violations()
	require.Len(t, got, 32)
	require.Equal(t, "99", got[31].Message)
}
