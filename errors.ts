/** Every way in which slim-go refuses or fails on purpose. A bug is never one of these: it crashes with its stack. */
export type SlimGoErrorCode =
  // Go
  | 'GO_NOT_FOUND'
  | 'GO_TOO_OLD'
  | 'GO_BUILD_FAILED'
  | 'GO_TEST_FAILED'
  | 'COVERAGE_TOO_LOW'
  | 'GO_FILE_INVALID'
  | 'TOOL_NOT_FOUND'
  | 'LINT_FAILED'
  | 'FORMAT_FAILED'
  | 'TIDY_FAILED'
  | 'GENERATE_FAILED'
  | 'VULN_FAILED'
  | 'BINARY_NOT_STATIC'
  | 'BINARY_WRONG_PLATFORM'
  // what the user wrote
  | 'OPTION_INVALID'
  | 'PLATFORM_INVALID'
  | 'REFERENCE_INVALID'
  | 'NAME_INVALID'
  | 'FILE_EXISTS'
  | 'DEVKIT_MISSING'
  // image
  | 'DOCKERFILE_MISSING'
  | 'DOCKERFILE_INVALID'
  | 'DOCKERFILE_NEEDS_ENGINE'
  | 'CONTEXT_INVALID'
  | 'COPY_FAILED'
  | 'ARCHIVE_INVALID'
  | 'WRITE_FAILED'
  | 'NOT_REPRODUCIBLE'
  // container engine
  | 'ENGINE_NOT_FOUND'
  | 'ENGINE_ENDPOINT_INVALID'
  | 'ENGINE_BUILD_FAILED'
  | 'ENGINE_LOAD_FAILED'
  | 'ENGINE_RUN_FAILED'
  // registry
  | 'CREDENTIALS_FAILED'
  | 'REGISTRY_FAILED'
  | 'ABORTED';

/**
 * An error for people: `message` says what happened and where (file:line, the offending value), `hint` what to do next.
 * Domain code throws it; an executor or generator catches it once, at its edge.
 */
export class SlimGoError extends Error {
  readonly code: SlimGoErrorCode;
  readonly hint: string | undefined;

  constructor(code: SlimGoErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SlimGoError';
    this.code = code;
    this.hint = options.hint;
  }
}
