import type { Vault } from './vault.ts'

/** Where the mark of the key stands that a store was last used with; see {@link Vault.mark}. */
export interface MarkStore {
  keyMark(): Promise<string | null>
  putKeyMark(mark: string): Promise<void>
}

/**
 * Compare the key with the one that a store was last used with, and leave its own mark there. No reason to stop: whoever has lost the key
 * goes on without it. But nobody should find out by what fails.
 *
 * @param onUnknown - Told when what is in the store was sealed with a key that this one does not know; false: the mark stays as it is.
 */
export async function checkKey(
  vault: Pick<Vault, 'mark' | 'knows'>,
  store: MarkStore,
  onUnknown: () => boolean | Promise<boolean>,
): Promise<void> {
  const mark = await store.keyMark()
  if (mark === vault.mark) return
  if (mark !== null && !vault.knows(mark) && !(await onUnknown())) return
  await store.putKeyMark(vault.mark)
}
