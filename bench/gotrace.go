// gotrace: goroutines, and runtime/trace of them
//
//	gotrace server JOBS FILE        over channels and mutexes
//
//		one that asks ──→ 8 workers, which share a table of four locks ──→ main, which locks it, too
//
//	gotrace pingpong COUNT FILE     two that take turns, by a mutex and a condition
package main

import (
	"os"
	"runtime/trace"
	"strconv"
	"sync"
)

const workers = 8

type shard struct {
	sync.Mutex
	values map[int]int
}

var shards [4]shard

func add(key, value int) {
	s := &shards[key%len(shards)]
	s.Lock()
	s.values[key%512] += value
	s.Unlock()
}

func work(jobs <-chan int, done chan<- int) {
	for job := range jobs {
		for i := 0; i < 8; i++ {
			add(job+i, i)
		}
		done <- job
	}
}

func server(count int) {
	for i := range shards {
		shards[i].values = map[int]int{}
	}
	jobs, done := make(chan int), make(chan int)
	var all sync.WaitGroup
	all.Add(workers)
	for i := 0; i < workers; i++ {
		go func() {
			work(jobs, done)
			all.Done()
		}()
	}
	go func() {
		for i := 0; i < count; i++ {
			jobs <- i
		}
		close(jobs)
	}()
	for i := 0; i < count; i++ {
		add(<-done, 1)
	}
	all.Wait()
}

var (
	mutex  sync.Mutex
	turned = sync.NewCond(&mutex)
	turn   int
)

func play(who, count int) {
	for i := 0; i < count; i++ {
		mutex.Lock()
		for turn%2 != who {
			turned.Wait()
		}
		turn++
		turned.Signal()
		mutex.Unlock()
	}
}

func pingpong(count int) {
	var both sync.WaitGroup
	both.Add(2)
	for who := 0; who < 2; who++ {
		go func(who int) {
			play(who, count/2)
			both.Done()
		}(who)
	}
	both.Wait()
}

func main() {
	load := map[string]func(int){"server": server, "pingpong": pingpong}[os.Args[1]]
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	f, err := os.Create(os.Args[3])
	if err != nil {
		panic(err)
	}
	if err := trace.Start(f); err != nil {
		panic(err)
	}
	load(count)
	trace.Stop()
	if err := f.Close(); err != nil {
		panic(err)
	}
}
