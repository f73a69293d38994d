/* Why: compute for ever. */
/* Earns: 0 */
int main(void)
{
	for (volatile int x = 0;; x++)
		;
}
