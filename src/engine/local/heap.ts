/** What can be in a {@link Heap}: the heap keeps its place in `pos`, -1 while it is in none. */
export interface HeapItem {
  pos: number
}

/** A binary heap from which any item can be removed, or moved after its key changed, in O(log n). */
export class Heap<T extends HeapItem> {
  #items: T[] = []
  readonly #before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before
  }

  get size(): number {
    return this.#items.length
  }

  /** The first item, undefined when empty. */
  peek(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    item.pos = this.#items.length
    this.#items.push(item)
    this.#up(item)
  }

  pop(): T | undefined {
    const first = this.#items[0]
    if (first !== undefined) this.remove(first)
    return first
  }

  /** Take an item out, wherever it is. One that is not in this heap is left alone. */
  remove(item: T): void {
    const { pos } = item
    if (this.#items[pos] !== item) return
    const last = this.#items.pop()
    item.pos = -1
    if (last === undefined || last === item) return
    last.pos = pos
    this.#items[pos] = last
    this.update(last)
  }

  /** Put an item where it belongs after its key changed. */
  update(item: T): void {
    this.#up(item)
    this.#down(item)
  }

  #up(item: T): void {
    while (item.pos > 0) {
      const parent = this.#items[(item.pos - 1) >> 1]
      if (!this.#before(item, parent)) return
      this.#swap(parent, item)
    }
  }

  #down(item: T): void {
    for (;;) {
      const left = item.pos * 2 + 1
      if (left >= this.#items.length) return
      const right = left + 1
      const least = right < this.#items.length && this.#before(this.#items[right], this.#items[left]) ? right : left
      if (!this.#before(this.#items[least], item)) return
      this.#swap(item, this.#items[least])
    }
  }

  /** `upper` goes down into the place of its child `lower`. */
  #swap(upper: T, lower: T): void {
    const pos = upper.pos
    upper.pos = lower.pos
    lower.pos = pos
    this.#items[upper.pos] = upper
    this.#items[lower.pos] = lower
  }
}
