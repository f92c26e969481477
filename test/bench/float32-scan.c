// Brute force over plaintext: inner products of float32 vectors with one query, every score kept.
// Prints the best time of several rounds in milliseconds.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static size_t vectors, dimensions, threads;
static float *data, *query, *scores;

static void *scan(void *argument) {
  const size_t index = (size_t)argument;
  const size_t end = vectors * (index + 1) / threads;
  for (size_t at = vectors * index / threads; at < end; at++) {
    const float *vector = data + at * dimensions;
    float sum = 0;
    for (size_t i = 0; i < dimensions; i++) sum += vector[i] * query[i];
    scores[at] = sum;
  }
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static float *random_floats(size_t count) {
  float *floats = malloc(count * sizeof(float));
  if (floats == NULL) exit(1);
  for (size_t i = 0; i < count; i++) floats[i] = (float)rand() / (float)RAND_MAX - 0.5f;
  return floats;
}

int main(int count, char **arguments) {
  if (count != 4) return 1;
  vectors = strtoul(arguments[1], NULL, 10);
  dimensions = strtoul(arguments[2], NULL, 10);
  threads = strtoul(arguments[3], NULL, 10);
  data = random_floats(vectors * dimensions);
  query = random_floats(dimensions);
  scores = random_floats(vectors);
  double best = 1e9;
  for (int round = 0; round < 20; round++) {
    const double started = now();
    pthread_t *others = malloc(threads * sizeof(pthread_t));
    if (others == NULL) return 1;
    for (size_t i = 1; i < threads; i++) {
      if (pthread_create(&others[i], NULL, scan, (void *)i) != 0) return 1;
    }
    scan(0);
    for (size_t i = 1; i < threads; i++) pthread_join(others[i], NULL);
    free(others);
    const double elapsed = now() - started;
    if (elapsed < best) best = elapsed;
  }
  // The scores are used, so that the compiler keeps the loop.
  double sum = 0;
  for (size_t i = 0; i < vectors; i++) sum += scores[i];
  fprintf(stderr, "%f\n", sum);
  printf("%.4f\n", best);
  return 0;
}
