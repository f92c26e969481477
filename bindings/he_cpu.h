// What the CPU and the operating system can do, asked at run time.
#ifndef KEYRITE_HE_CPU_H
#define KEYRITE_HE_CPU_H

namespace keyrite {

inline bool HasAvx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2");
#else
  return false;
#endif
}

inline bool HasAvx512Ifma() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
#else
  return false;
#endif
}

}  // namespace keyrite

#endif
