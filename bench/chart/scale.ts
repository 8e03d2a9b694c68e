/** Where a figure lies on an axis, and which figures are written beside it. */
export interface Scale {
  /** Pixels from the start of the axis. */
  at(figure: number): number
  ticks: number[]
}

/** From 0 to `greatest`, or a little further: to the next tick. */
export function linear(greatest: number, pixels: number, wanted = 5): Scale {
  const step = stepOf((greatest > 0 ? greatest : 1) / wanted)
  const count = Math.max(1, Math.ceil(greatest / step - 1e-9))
  const ticks = Array.from({ length: count + 1 }, (_, i) => rounded(i * step))
  const end = ticks[ticks.length - 1]
  return { at: (figure) => (figure / end) * pixels, ticks }
}

/** Powers of ten, from the one below `least` to the one above `greatest`; both above 0. */
export function logarithmic(least: number, greatest: number, pixels: number): Scale {
  const [low, high] = [Math.floor(Math.log10(least) + 1e-9), Math.ceil(Math.log10(greatest) - 1e-9)]
  const span = Math.max(1, high - low)
  const ticks = Array.from({ length: span + 1 }, (_, i) => rounded(10 ** (low + i)))
  return { at: (figure) => ((Math.log10(figure) - low) / span) * pixels, ticks }
}

/** Figures of such a spread cannot be told apart on a linear axis. */
export function isWide(figures: readonly number[], times = 100): boolean {
  const [least, greatest] = [Math.min(...figures), Math.max(...figures)]
  return least > 0 && greatest / least >= times
}

/** 1, 2 or 5 times a power of ten, not less than asked. */
function stepOf(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  const times = [1, 2, 5, 10].find((each) => each * power >= least * (1 - 1e-9)) ?? 10
  return times * power
}

function rounded(figure: number): number {
  return Number(figure.toPrecision(12))
}
