/** What a look at a host tells before anything is changed. Errors refuse; warnings are printed. */
export interface Finding {
  /** Kebab-case and stable, `default-route`: what `--fix` takes where there is a fix. */
  readonly id: string
  readonly host: string
  readonly severity: 'error' | 'warning'
  readonly message: string
  /** An imperative sentence with the exact flag or command. */
  readonly fix: string
}
