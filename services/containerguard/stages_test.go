package containerguard_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
)

// policySteps is a policy of several steps.
func (r *rig) policySteps(id string, steps ...string) {
	r.t.Helper()
	r.policy(id, `match.severity = "high"`, strings.Join(steps, "\n"))
}

// webhook returns the URL of a webhook that puts the texts of messages into out.
func webhook(t *testing.T, out chan<- string) string {
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var m struct{ Text string }
		_ = json.NewDecoder(req.Body).Decode(&m)
		out <- m.Text
	}))
	t.Cleanup(hook.Close)
	return hook.URL
}

// waits returns the steps that wait.
func (r *rig) waits() []containerguard.WaitingStep {
	r.t.Helper()
	var reply containerguard.WaitingReply
	require.NoError(r.t, r.ask(containerguard.VerbWaiting, nil, &reply))
	return reply.Waiting
}

func TestStepsFollowEachOther(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policySteps("graded", "[[policy.step]]", `actions = ["pause"]`, "[[policy.step]]", `actions = ["isolate"]`, `after = "2s"`)
	r.policySteps("slow", `match.containers = ["other"]`, "priority = 1", "[[policy.step]]", `actions = ["pause"]`, "[[policy.step]]", `actions = ["isolate"]`, `after = "5m"`)
	id := d.Run(t, testenv.ContainerOptions{Name: "web"})
	other := d.Run(t, testenv.ContainerOptions{Name: "other"})
	s := r.start().docker()
	first, second := r.alert(about(id)), r.alert(about(other))
	r.publish(first, second)
	require.Contains(t, r.await(first, "isolate skipped dry").Reason, "would isolate; high alert \"web attack\"; the policy does it after 2s, at ")
	paused := r.await(first, "pause done")
	r.await(second, "pause done")
	slow := func() (found []containerguard.WaitingStep) {
		return slices.DeleteFunc(r.waits(), func(w containerguard.WaitingStep) bool { return w.Policy != "slow" })
	}
	s.eventually(func() bool { return len(slow()) == 1 })
	require.Equal(t, "time", slow()[0].Need)
	require.WithinDuration(t, time.Now().Add(5*time.Minute), slow()[0].Due, time.Minute)

	var released containerguard.ReleaseReply
	require.NoError(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: "other"}, &released))
	require.Contains(t, r.await(second, "isolate skipped").Reason, "released the container: it waited for time")

	isolated := r.await(first, "isolate done")
	require.GreaterOrEqual(t, isolated.Time.Sub(paused.Time), time.Second, "2 s after the pause was ordered")
	require.Empty(t, state(t, d, id).Networks)
	require.Len(t, state(t, d, other).Networks, 1)
	require.False(t, state(t, d, other).Paused)
	s.eventually(func() bool { return len(r.waits()) == 0 })
}

func TestAStepNeedsSignsOfItsOwn(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policySteps("graded", "[[policy.step]]", `actions = ["pause"]`, "signs = 1", "[[policy.step]]", `actions = ["isolate"]`, "signs = 2")
	id := d.Run(t, testenv.ContainerOptions{Name: "web"})
	s := r.start().docker()
	a := r.alert(about(id))
	r.publish(a)
	r.await(a, "pause done")
	require.Contains(t, r.await(a, "isolate skipped dry").Reason, "of 2 signs within 10m0s")
	s.eventually(func() bool { return len(r.waits()) == 1 })
	require.Equal(t, "sign", r.waits()[0].Need)
	require.Len(t, state(t, d, id).Networks, 1)
}

func TestStepsWaitOverARestart(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policySteps("graded", "[[policy.step]]", `actions = ["pause"]`, "[[policy.step]]", `actions = ["isolate"]`, `after = "3s"`)
	id := d.Run(t, testenv.ContainerOptions{Name: "web"})
	s := r.start().docker()
	a := r.alert(about(id))
	r.publish(a)
	r.await(a, "pause done")
	s.eventually(func() bool { return len(r.waits()) == 1 })
	due := r.waits()[0].Due
	require.NoError(t, s.stop())
	r.start().docker()
	require.Equal(t, due, r.waits()[0].Due, "the time counts from the first step")
	r.await(a, "isolate done")
}

func TestAnOperatorApproves(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policySteps("asks", "[[policy.step]]", `actions = ["pause", "notify"]`, "[[policy.step]]", `actions = ["isolate"]`, "approve = true")
	messages := make(chan string, 8)
	r.cfg.WebhookURL = webhook(t, messages)
	id := d.Run(t, testenv.ContainerOptions{Name: "web"})
	s := r.start().docker()
	a := r.alert(about(id))
	r.publish(a)
	r.await(a, "pause done")
	s.eventually(func() bool { return len(r.waits()) == 1 })
	require.Len(t, state(t, d, id).Networks, 1)
	asked := r.waits()
	require.Equal(t, "approval", asked[0].Need)
	require.WithinDuration(t, time.Now().Add(time.Hour), asked[0].Until, time.Minute)
	_, request, _ := strings.Cut(asked[0].Reason, "ironpost approve ")
	request, _, _ = strings.Cut(request, ";")
	require.Len(t, request, 12)
	require.Contains(t, <-messages, "isolate web: skipped (waits for ironpost approve "+request)

	approve := func(id string, deny bool) (reply containerguard.ApproveReply, err error) {
		err = r.ask(containerguard.VerbApprove, containerguard.ApproveRequest{ID: id, Deny: deny}, &reply)
		return reply, err
	}
	_, err := approve("0000000", false)
	require.ErrorContains(t, err, "no such request waits")
	_, err = approve(request[:3], false)
	require.ErrorContains(t, err, "is too short")

	// Another alert of as strong evidence about the container asks no second time.
	again := r.alert(about(id))
	r.publish(again)
	require.Contains(t, r.await(again, "isolate skipped dry").Reason, "an operator is asked already")
	require.Len(t, r.waits(), 2, "it waits for what the operator says")

	// Stronger evidence of the same matter is another request, and the old one is none any more.
	require.NoError(t, s.stop())
	s = r.start().docker()
	require.True(t, slices.ContainsFunc(r.waits(), func(w containerguard.WaitingStep) bool { return w.Reason == asked[0].Reason }), "a request outlives the guard")
	worse := *a
	worse.ID, worse.Series, worse.Update, worse.Severity = "alert-worse", a.ID, true, event.Critical
	r.publish(&worse)
	newRequest := func() (id string) {
		for _, w := range r.waits() {
			if _, rest, asks := strings.Cut(w.Reason, "ironpost approve "); asks && !strings.HasPrefix(rest, request) {
				id, _, _ = strings.Cut(rest, ";")
			}
		}
		return id
	}
	s.eventually(func() bool { return newRequest() != "" })
	_, err = approve(request, false)
	require.ErrorContains(t, err, "no such request waits")
	newer := newRequest()

	reply, err := approve(newer[:6], false)
	require.NoError(t, err)
	require.Equal(t, containerguard.ApproveReply{
		ID: newer, Policy: "asks", Kind: "isolate", Container: id, Name: "web", AlertID: worse.ID, State: "held",
	}, reply)
	require.Contains(t, r.await(&worse, "isolate done").Reason, "approved by key U")
	require.Empty(t, state(t, d, id).Networks)
	require.Empty(t, r.waits())
}

func TestARequestIsDeniedOrExpires(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("asks", `actions = ["isolate"]`, "approve = true")
	web, db := d.Run(t, testenv.ContainerOptions{Name: "web"}), d.Run(t, testenv.ContainerOptions{Name: "db"})
	s := r.start().docker()
	denied, removed := r.alert(about(web)), r.alert(about(db))
	r.publish(denied, removed)
	s.eventually(func() bool { return len(r.waits()) == 2 })
	for _, w := range r.waits() {
		if w.Name == "web" {
			_, request, _ := strings.Cut(w.Reason, "ironpost approve ")
			request, _, _ = strings.Cut(request, ";")
			var reply containerguard.ApproveReply
			require.NoError(t, r.ask(containerguard.VerbApprove, containerguard.ApproveRequest{ID: request, Deny: true}, &reply))
			require.True(t, reply.Denied)
		}
	}
	require.Contains(t, r.await(denied, "isolate skipped").Reason, ": it waited for approval")
	d.Remove(t, db)
	require.Contains(t, r.await(removed, "isolate skipped").Reason, "the container was removed: it waited for approval")
	require.False(t, state(t, d, web).Paused)
	require.Empty(t, r.waits())
}

// What an operator approved and a cap refuses is not asked about again.
func TestWhatIsApprovedWaitsForRoom(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.cfg.MaxPerMinute = 1
	r.policy("asks", `actions = ["pause"]`, "approve = true")
	web, db := d.Run(t, testenv.ContainerOptions{Name: "web"}), d.Run(t, testenv.ContainerOptions{Name: "db"})
	s := r.start().docker()
	r.publish(r.alert(about(web)), r.alert(about(db)))
	s.eventually(func() bool { return len(r.waits()) == 2 })
	var replies []containerguard.ApproveReply
	for _, w := range r.waits() {
		_, request, _ := strings.Cut(w.Reason, "ironpost approve ")
		var reply containerguard.ApproveReply
		require.NoError(t, r.ask(containerguard.VerbApprove, containerguard.ApproveRequest{ID: request[:12]}, &reply))
		replies = append(replies, reply)
	}
	require.Equal(t, "held", replies[0].State)
	require.True(t, replies[1].Pending)
	require.Contains(t, replies[1].Error, "it was not done")
	left := r.waits()
	require.Len(t, left, 1)
	require.Equal(t, "room", left[0].Need)
	require.NotEqual(t, state(t, d, web).Paused, state(t, d, db).Paused)
}
