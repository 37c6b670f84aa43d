// profiles writes one of each kind of profile that Go's runtime/pprof has, into the directory it is given.
//
// The files in tests/data come from it. They are kept, so that the tests do not depend on Go:
//
//	go run profiles.go DIR
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

var sink uint64
var kept [][]byte

//go:noinline
func spin(d time.Duration) {
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		sink = mix(sink)
	}
}

func mix(x uint64) uint64 { // small enough to be inlined
	for i := 0; i < 1000; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

//go:noinline
func recurse(n int, d time.Duration) {
	if n > 0 {
		recurse(n-1, d)
		return
	}
	spin(d)
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

//go:noinline
func (p *pair[K, V]) work() { spin(60 * time.Millisecond) }

//go:noinline
func allocate(n, size int) {
	for i := 0; i < n; i++ {
		b := make([]byte, size)
		if i%4 == 0 {
			kept = append(kept, b)
		}
	}
}

func contend() {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 20; j++ {
				mu.Lock()
				time.Sleep(200 * time.Microsecond)
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func create(dir, name string) *os.File {
	f, err := os.Create(filepath.Join(dir, name))
	check(err)
	return f
}

func write(dir, name string) {
	f := create(dir, "go-"+name+".pb.gz")
	check(pprof.Lookup(name).WriteTo(f, 0))
	check(f.Close())
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: profiles DIR")
		os.Exit(2)
	}
	dir := os.Args[1]
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	runtime.MemProfileRate = 4096

	for i, name := range []string{"go-cpu.pb.gz", "go-cpu2.pb.gz"} {
		f := create(dir, name)
		check(pprof.StartCPUProfile(f))
		spin(150 * time.Millisecond)
		recurse(3+i, 100*time.Millisecond)
		(&pair[string, int]{"k", 1}).work()
		pprof.Do(context.Background(), pprof.Labels("worker", "a b", "request", "17"), func(context.Context) {
			spin(80 * time.Millisecond)
		})
		pprof.Do(context.Background(), pprof.Labels("worker", "c"), func(context.Context) {
			recurse(1, 80*time.Millisecond)
		})
		pprof.StopCPUProfile()
		check(f.Close())
	}

	allocate(2000, 64)
	allocate(300, 5000)
	allocate(20, 1<<20)
	contend()

	handles := pprof.NewProfile("handles")
	for i := 0; i < 5; i++ {
		handles.Add(new(int), 0)
	}
	stop := make(chan bool)
	for i := 0; i < 6; i++ {
		go func() { <-stop }()
	}
	time.Sleep(10 * time.Millisecond)
	runtime.GC()
	for _, name := range []string{"heap", "allocs", "block", "mutex", "goroutine", "threadcreate", "handles"} {
		write(dir, name)
	}
	close(stop)
}
