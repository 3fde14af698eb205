/**
 * Runs `work` over all items, at most `limit` at once; results stand in the items' order.
 * The first failure stops new work, waits for what is under way, and is thrown.
 */
export async function each<T, R>(
  items: Iterable<T>,
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const queue = [...items].entries()
  const results: R[] = []
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (failures.length > 0) return
      try {
        results[index] = await work(item, index)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, limit) }, worker))
  if (failures.length > 0) throw failures[0]
  return results
}
