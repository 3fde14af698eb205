/** Columns padded to their widest cell, two spaces between, as docker and kubectl print. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map(row => row.map(oneLine))
  const widths = head.map((_, column) => Math.max(...all.map(row => (row[column] ?? '').length)))
  return all
    .map(row =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Cells come from images and scripts of others: nothing in them moves the cursor. */
function oneLine(cell: string): string {
  return cell.replaceAll(/\p{Cc}+/gu, ' ')
}
