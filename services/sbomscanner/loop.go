package sbomscanner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/services/sbomscanner/document"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

const (
	// tick is how often the database is looked at (one system call), and what is due is done.
	tick = time.Second
	// housekeeping is how often the age of the database and the ends of exceptions are checked.
	housekeeping = time.Minute

	// restFactor is how much longer than its scan a folder rests that changes all the time.
	restFactor = 4
	// longScan is how long a scan may take before it is a health reason; most limits end it sooner.
	longScan = time.Hour

	firstRetry = 10 * time.Second // of a scan that failed
	lastRetry  = time.Hour
)

// loop owns findings, inventories and the database: one goroutine changes them. Scans, publishing, downloads and watching run in
// goroutines of their own, which talk to it over channels, so that none of them delays an answer to a new database.
type loop struct {
	s           *Service
	findings    *finding.Store
	inventories *finding.Inventories
	documents   *document.Folder
	database    database
	worker      *worker
	watcher     *watcher
	images      *imageWatcher // nil: images are not scanned
	updater     *updater

	queue     queue
	retries   retries
	scanning  string // key of the asset that the worker has
	again     bool   // it is to be scanned once more
	began     time.Time
	changed   map[string]inventory.Asset // folders that changed and are not in the queue yet
	rest      map[string]time.Time       // until when a folder that changes is not scanned, by key
	firstLeft map[string]bool
	running   map[string]inventory.Asset // images that containers run; nil until Docker has said so

	scanFailures  failures
	unread        failures        // what was not read of an asset
	matchFailures failures        // tried again at the next housekeeping
	unassessed    map[string]bool // assets to match as soon as the outbox has room
	batch         *batch          // that the publisher has; nil: none
	stored        *batch          // that the bus has stored, still in the outbox
	offers        chan *batch
	published     chan *batch
	said          bool // that there are no advisories
	lastFull      time.Time
	lastCheck     time.Time
	lastReport    time.Time

	waitingSince time.Time // when alerts began to wait, or the bus last stored some; zero: none waits
}

// newLoop opens what the last run saved.
func newLoop(s *Service) (l *loop, err error) {
	l = &loop{
		s: s, retries: newRetries(), firstLeft: map[string]bool{}, unassessed: map[string]bool{},
		changed: map[string]inventory.Asset{}, rest: map[string]time.Time{},
		scanFailures: failures{}, unread: failures{}, matchFailures: failures{},
		offers: make(chan *batch), published: make(chan *batch),
		database: database{dir: s.cfg.VulnDBPath, unknown: severityOf(s.cfg.UnknownSeverity), engine: s.engine},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	var bad, worse []string
	if l.findings, bad, err = finding.OpenStore(filepath.Join(s.deps.DataDir, FindingsFolder)); err != nil {
		return l, err
	}
	if l.inventories, worse, err = finding.OpenInventories(filepath.Join(s.deps.DataDir, inventoriesFolder)); err != nil {
		return l, err
	}
	if l.documents, err = document.OpenFolder(filepath.Join(s.deps.DataDir, document.Subfolder), document.Limits{}); err != nil {
		return l, err
	}
	for _, problem := range append(bad, worse...) {
		s.log.WithField("reason", problem).Error("saved state not usable")
	}
	if len(bad) > 0 {
		s.reasons.Set(topicState, bad[0])
	}
	for _, key := range l.inventories.Keys() { // an image is not scanned again
		l.noteUnread(l.inventories.Get(key))
	}
	if l.worker, err = newWorker(s); err != nil {
		return l, err
	}
	l.watcher, l.updater = newWatcher(s), newUpdater(s)
	if s.cfg.Images {
		l.images = newImageWatcher(s, l.worker)
	}
	return l, nil
}

func (l *loop) close() error {
	err := l.database.close()
	if l.findings != nil {
		err = errors.Join(err, l.findings.Close())
	}
	if l.inventories != nil {
		err = errors.Join(err, l.inventories.Close())
	}
	if l.documents != nil {
		err = errors.Join(err, l.documents.Close())
	}
	if l.worker != nil {
		l.worker.close()
	}
	return err
}

// run works until ctx ends.
func (l *loop) run(ctx context.Context) error {
	for _, dir := range l.s.dirs {
		l.firstLeft[inventory.Asset{Kind: inventory.Directory, Name: dir}.Key()] = true
	}
	l.checkDatabase(ctx)
	l.lastFull = time.Now()
	ready := l.watcher.ready // a change after the first scan is seen
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for ctx.Err() == nil {
		l.dispatch()
		l.report()
		var offers chan *batch
		next := l.nextBatch()
		if next != nil {
			offers = l.offers
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
			l.due(ctx)
		case <-ready:
			ready = nil
			l.scanEverything()
		case done := <-l.worker.results:
			l.scanned(ctx, done)
		case dir := <-l.watcher.changed:
			a := inventory.Asset{Kind: inventory.Directory, Name: dir}
			l.changed[a.Key()] = a
			l.scanChanged(time.Now())
		case running := <-l.imageLists():
			l.imagesRunning(running)
		case offers <- next:
			l.batch = next
		case done := <-l.published:
			l.batch, l.stored = nil, done
			l.takeStored(ctx)
		}
	}
	l.saveCache()
	return nil
}

// saveCache saves what unchanged files contain. Without it the next start reads every file.
func (l *loop) saveCache() {
	if err := saveCache(l.s.deps.DataDir, l.s.cache); err != nil {
		l.s.log.WithError(err).Warn("cache of scans not saved")
	}
}

func (l *loop) imageLists() chan []inventory.Asset {
	if l.images == nil {
		return nil
	}
	return l.images.lists
}

// due does what is due by time.
func (l *loop) due(ctx context.Context) {
	now := time.Now()
	l.checkDatabase(ctx)
	l.takeStored(ctx)
	l.scanChanged(now)
	for _, a := range l.retries.due(now) {
		if l.active(a) {
			l.scan(a)
			continue
		}
		l.retries.worked(a.Key())
		delete(l.scanFailures, a.Key())
	}
	if now.Sub(l.lastFull) >= l.s.cfg.scanInterval() {
		l.scanEverything()
	}
	l.assessWaiting(ctx)
	if now.Sub(l.lastCheck) >= housekeeping {
		l.lastCheck = now
		l.checkAge(now)
		l.checkExceptions(ctx, now)
		for _, key := range sortedKeys(l.matchFailures) {
			l.assess(ctx, key)
		}
		l.prune(now)
	}
}

// scanEverything has all folders and images scanned.
func (l *loop) scanEverything() {
	l.lastFull = time.Now()
	for _, dir := range l.s.dirs {
		l.scan(inventory.Asset{Kind: inventory.Directory, Name: dir})
	}
}

// scan has an asset scanned, once more if it is being scanned.
func (l *loop) scan(a inventory.Asset) {
	if a.Key() == l.scanning {
		l.again = true
		return
	}
	l.queue.add(a)
}

// scanChanged has the folders scanned that have changed and rested: whoever may write there could have the scanner busy all the time.
func (l *loop) scanChanged(now time.Time) {
	for _, key := range sortedKeys(l.changed) {
		if key != l.scanning && !now.Before(l.rest[key]) {
			l.scan(l.changed[key])
			delete(l.changed, key)
		}
	}
}

// dispatch gives the worker the next asset.
func (l *loop) dispatch() {
	if l.scanning != "" {
		return
	}
	if a, found := l.queue.take(); found {
		l.scanning, l.began = a.Key(), time.Now()
		l.worker.jobs <- a // has room: the worker has nothing
	}
	if l.scanning == "" && len(l.firstLeft) == 0 && l.s.reasons.Started() {
		l.s.log.WithField("packages", l.inventories.Packages()).Info("every folder is scanned")
		l.saveCache()
	}
}

// scanned takes the result of a scan.
func (l *loop) scanned(ctx context.Context, done scanResult) {
	key := done.asset.Key()
	if !l.firstLeft[key] { // nothing was in the cache
		defer func(began time.Time) {
			l.rest[key] = time.Now().Add(min(restFactor*time.Since(began), l.s.cfg.scanInterval()))
		}(l.began)
	}
	l.scanning = ""
	delete(l.firstLeft, key)
	if l.again {
		l.again = false
		l.queue.add(done.asset)
	}
	l.s.scans.Add(1)
	name := event.Printable(done.asset.Name, maxShown)
	err := done.err
	if err == nil {
		err = l.takeInventory(done.inventory)
	}
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		l.s.scanErrors.Add(1)
		l.scanFailures[key] = fmt.Sprintf("%s is not scanned, its findings are those of the last scan: %s", name, event.Printable(err.Error(), 300))
		l.s.log.WithError(err).WithField("asset", done.asset.Name).Error("scan failed, trying again")
		l.retries.failed(done.asset, time.Now(), func(n int) time.Duration { return backoff.Delay(n, firstRetry, lastRetry) })
		return
	}
	delete(l.scanFailures, key)
	l.noteUnread(done.inventory)
	l.retries.worked(key)
	l.updater.installed(l.inventories)
	l.assess(ctx, key)
}

// noteUnread notes what of an asset could not be read.
func (l *loop) noteUnread(inv *inventory.Inventory) {
	delete(l.unread, inv.Asset.Key())
	if what := unreadReason(inv); what != "" {
		l.unread[inv.Asset.Key()] = what
	}
}

// takeInventory saves the inventory of a scan, and the document of a changed one.
func (l *loop) takeInventory(inv *inventory.Inventory) error {
	changed, err := l.inventories.Put(inv)
	if errors.Is(err, finding.ErrTooMany) && l.makeRoom() {
		changed, err = l.inventories.Put(inv)
	}
	if err != nil || !changed {
		return err
	}
	stored, err := l.documents.Store(inv, document.Format(l.s.cfg.OutputFormat), document.Options{Version: l.s.deps.Version}, time.Now())
	if err != nil {
		l.s.documentErrors.Add(1)
		if l.s.reasons.Set(topicDocument, "the SBOM document could not be written: "+err.Error()) {
			l.s.log.WithError(err).Error("SBOM document not written")
		}
		return nil
	}
	l.s.reasons.Clear(topicDocument)
	l.s.log.WithField("asset", inv.Asset.Name).WithField("packages", len(inv.Packages)).WithField("document", stored.Entry.File).Info("inventory changed")
	return nil
}

// active reports whether an asset is still scanned: a folder that is configured, an image that a container runs.
func (l *loop) active(a inventory.Asset) bool {
	if a.Kind == inventory.Image {
		_, runs := l.running[a.Key()]
		return l.images != nil && (runs || l.running == nil)
	}
	return slices.Contains(l.s.dirs, a.Name)
}

// assess matches the saved inventory of an asset and reports what is new.
func (l *loop) assess(ctx context.Context, key string) {
	inv := l.inventories.Get(key)
	if inv == nil || !l.active(inv.Asset) || l.database.empty() {
		delete(l.unassessed, key)
		return
	}
	now := time.Now()
	result, err := l.database.match(ctx, inv)
	if err == nil {
		err = l.observe(inv, result, now)
		if errors.Is(err, finding.ErrTooMany) && l.makeRoom() {
			err = l.observe(inv, result, now)
		}
	}
	switch {
	case err == nil:
		delete(l.unassessed, key)
		delete(l.matchFailures, key)
		err = l.findings.Seen(key, now)
	case errors.Is(err, finding.ErrOutboxFull):
		l.unassessed[key] = true
		return
	case ctx.Err() != nil:
		return
	}
	if err != nil {
		delete(l.unassessed, key)
		l.s.matchErrors.Add(1)
		l.matchFailures[key] = fmt.Sprintf("the findings of %s are not current: %s", event.Printable(inv.Asset.Name, maxShown), event.Printable(err.Error(), 300))
		l.s.log.WithError(err).WithField("asset", inv.Asset.Name).Error("findings not updated, trying again")
	}
}

// makeRoom forgets the oldest asset that is not scanned any more, such as an image of a container that has ended: a host that runs
// builds has thousands of them in the time for which they are kept.
func (l *loop) makeRoom() bool {
	key, err := l.findings.ForgetOldest(func(a inventory.Asset) bool { return !l.active(a) })
	if err == nil && key != "" {
		err = l.inventories.Remove(key)
	}
	if err != nil {
		l.s.log.WithError(err).Warn("asset that is gone not forgotten")
	}
	return err == nil && key != ""
}

// observe moves the findings of an asset on.
func (l *loop) observe(inv *inventory.Inventory, result *match.Result, now time.Time) error {
	report, err := l.findings.Observe(finding.Observation{
		Asset: inv.Asset, Result: result, Time: now, Thresholds: l.s.cfg.thresholds(),
		Unknown: unknownIn(inv, result), Ignored: l.s.ignored(inv.Asset, now),
	}, alertBuilder{host: l.s.deps.Host, machine: l.s.deps.MachineID, database: l.database.status(), now: now}.fromReport)
	if err != nil {
		return err
	}
	if n := len(report.Digest); n > 0 {
		l.s.log.WithField("asset", inv.Asset.Name).WithField("findings", n).Warn("new vulnerabilities")
	}
	return nil
}

// assessEverything matches every saved inventory.
func (l *loop) assessEverything(ctx context.Context) {
	for _, key := range l.inventories.Keys() {
		if ctx.Err() != nil {
			return
		}
		l.assess(ctx, key)
	}
}

// assessWaiting matches what could not be while the outbox was full, or because of an error.
func (l *loop) assessWaiting(ctx context.Context) {
	if l.findings.WaitingCount() > finding.MaxOutbox/2 {
		return
	}
	for _, key := range sortedKeys(l.unassessed) {
		l.assess(ctx, key)
	}
}

// imagesRunning takes what Docker says: new images are scanned, and the containers of known ones are noted.
func (l *loop) imagesRunning(running []inventory.Asset) {
	before := l.running
	l.running = map[string]inventory.Asset{}
	for _, a := range running {
		key := a.Key()
		l.running[key] = a
		known := l.inventories.Get(key)
		if known == nil {
			l.scan(a)
			continue
		}
		if known.Asset.Name != a.Name || !slices.Equal(known.Asset.Containers, a.Containers) {
			l.renew(key, a)
		}
		if _, ran := before[key]; !ran && before != nil {
			l.unassessed[key] = true // it was not assessed meanwhile
		}
	}
	for _, a := range slices.Clone(l.queue.waiting) {
		if a.Kind == inventory.Image && l.running[a.Key()].Name == "" {
			l.queue.remove(a.Key())
		}
	}
}

// renew saves what Docker says of an image whose content is known.
func (l *loop) renew(key string, a inventory.Asset) {
	full, err := l.inventories.Full(key)
	if err == nil {
		full.Asset = a
		_, err = l.inventories.Put(full)
	}
	if err != nil {
		l.s.log.WithError(err).WithField("asset", a.Name).Warn("saved inventory not usable, scanning again")
		l.scan(a)
	}
}

// prune forgets assets that were not seen for long, and inventories of assets that are forgotten.
func (l *loop) prune(now time.Time) {
	for _, key := range l.inventories.Keys() {
		if l.active(l.inventories.Get(key).Asset) {
			if err := l.findings.Seen(key, now); err != nil {
				l.s.log.WithError(err).Warn("findings not saved")
			}
		}
	}
	gone, err := l.findings.Prune(now)
	for _, key := range gone {
		err = errors.Join(err, l.inventories.Remove(key))
	}
	if err != nil {
		l.s.log.WithError(err).Warn("assets that are gone not forgotten")
	}
}
