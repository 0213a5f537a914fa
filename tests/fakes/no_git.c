/*
 * libno_git.so: preloaded where each test is a slow process. Criterion links libgit2, for the differences that
 * assertions of whole texts print and no test here asks for; its start reads every CA certificate of the host,
 * which under Valgrind was a third of the time of five short tests (12.4 s, 8.2 without).
 */
int git_libgit2_init(void);
int git_libgit2_shutdown(void);

int git_libgit2_init(void)
{
    return 1; /* how often it has been started */
}

int git_libgit2_shutdown(void)
{
    return 0;
}
