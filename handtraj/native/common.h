// What whole sequences and single steps share: vectors of floats, the window.

#pragma once

#include <ATen/cpu/vec/vec.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace handtraj {

using Vec = at::vec::Vectorized<float>;

// As in handtraj.layers.
constexpr float kLogCap = 6.0f;

// Calls body(n, count) for pieces of a vector's length.
template <typename Body>
inline void pieces(int64_t length, const Body& body) {
  for (int64_t n = 0; n < length; n += Vec::size()) {
    body(n, std::min<int64_t>(Vec::size(), length - n));
  }
}

inline Vec load(const float* from, int64_t count) {
  return count == Vec::size() ? Vec::loadu(from) : Vec::loadu(from, count);
}

// The fast exponential makes a number of what is none; z - z keeps it in sight.
inline Vec sigmoid(Vec z) {
  return Vec(1.0f) / (Vec(1.0f) + z.neg().exp_u20()) + (z - z);
}

inline Vec tangent(Vec z) {
  return Vec(2.0f) * sigmoid(z + z) - Vec(1.0f);
}

// Weights of the window over the text of one line: phi (Graves 2013, eq. 46).
inline void window_forward(
    const float* head, float* kappa, int64_t k, const int64_t* codes, int64_t length,
    int64_t symbols, float* phi, float* window) {
  std::fill(phi, phi + length, 0.0f);
  for (int64_t m = 0; m < k; ++m) {
    const float alpha = std::exp(std::min(head[m], kLogCap));
    const float beta = std::exp(std::min(head[k + m], kLogCap));
    kappa[m] += std::exp(std::min(head[2 * k + m], kLogCap));
    pieces(length, [&](int64_t u, int64_t count) {
      const Vec away = Vec(kappa[m]) - Vec::arange(static_cast<float>(u), 1.0f);
      const Vec bell = (Vec(-beta) * away * away).exp();
      (load(phi + u, count) + Vec(alpha) * bell).store(phi + u, count);
    });
  }
  std::fill(window, window + symbols, 0.0f);
  for (int64_t u = 0; u < length; ++u) {
    // Code 0 stands after the end of a text: nothing is there to be seen.
    if (codes[u] > 0) window[codes[u]] += phi[u];
  }
}

}  // namespace handtraj
